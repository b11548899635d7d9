-- SPDX-License-Identifier: Apache-2.0
-- nodes.lua: the nodes there are, those that have yet to register again included, but for damaged ones. In pages.
-- arguments: stage (0: the first) and cursor in it
-- returns: the next stage and cursor, stage 0: this was all; for each {id, until, name, host, types, pid, slots, running,
--   settled, session, usable, short_of, quarantine}; one that comes meanwhile may be missing, one may come twice
local KEYS_OF_STAGE, PAGE = {'nodes', 'nodes_past'}, 250
local stage, cursor, rows = number(), text(), {}
local page = call('ZSCAN', P .. KEYS_OF_STAGE[stage + 1], cursor, 'COUNT', PAGE)
for i = 1, #page[2], 2 do
    rows[#rows + 1] = node_row(page[2][i], page[2][i + 1])
end
if page[1] == '0' then
    stage = (stage + 1) % #KEYS_OF_STAGE
end
return done(stage, page[1], rows)
