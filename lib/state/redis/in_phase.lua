-- SPDX-License-Identifier: Apache-2.0
-- in_phase.lua: tasks of a phase, ids rising.
-- arguments: phase, after, max
-- returns: ids
local phase, after, max = text(), text(), number()
local ids = {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'phase:' .. phase, '(' .. after, '+inf', 'LIMIT', 0, max)) do
    ids[#ids + 1] = guard(id, task_listed, id) and id
end
return done(ids)
