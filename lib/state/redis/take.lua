-- SPDX-License-Identifier: Apache-2.0
-- take.lua: gives the caller ending tasks that nobody works on.
-- arguments: phase (closing or closed), until, max
-- returns: ids
local key, until_ms, max = P .. 'taken:' .. text(), number(), number()
local ids = run_out(key, max)
local taken = {}
for _, id in ipairs(ids) do
    if guard(id, task_listed, id) then
        call('ZADD', key, until_ms, id)
        taken[#taken + 1] = id
    end
end
return done(taken)
