-- SPDX-License-Identifier: Apache-2.0
-- blame.lua: counts that a callback of the task ended its process.
-- arguments: task, callback
-- returns: how often so far; NOT_FOUND
local id, callback = text(), text()
if not task_find(id) then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
local field = 'blame:' .. callback
local count = (whole(call('HGET', P .. 't:' .. id, field)) or 0) + 1
call('HSET', P .. 't:' .. id, field, count)
return done(count)
