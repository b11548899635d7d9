-- SPDX-License-Identifier: Apache-2.0
-- nodes.lua: the nodes there are, those that have yet to register again included, but for damaged ones.
-- arguments: none
-- returns: for each {id, until, name, host, types, pid, slots, running, settled}
local rows = {}
for _, key in ipairs({'nodes', 'nodes_past'}) do
    local all = call('ZRANGE', P .. key, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do
        rows[#rows + 1] = node_row(all[i], all[i + 1])
    end
end
return done(rows)
