-- SPDX-License-Identifier: Apache-2.0
-- take.lua: gives the caller ending tasks that nobody works on.
-- arguments: phase (closing or closed), until, max
-- returns: ids
local key, until_ms, max = P .. 'taken:' .. text(), number(), number()
local ids = run_out(key, max)
for _, id in ipairs(ids) do
    call('ZADD', key, until_ms, id)
end
return done(ids)
