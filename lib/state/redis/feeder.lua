-- SPDX-License-Identifier: Apache-2.0
-- feeder.lua: a task's feeder was heard of.
-- arguments: task, its lease (0: the one that it has, if any), when it was heard of
-- returns: nothing; NOT_FOUND
local id, lease, heard_ms = text(), number(), number()
local t = task_find(id)
if not t then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
local has = whole(call('HGET', P .. 'feeder_lease', id)) or 0
if t.phase >= STOPPING or lease > 0 and has > 0 then
    return done()
end
if lease > 0 then
    call('HSET', P .. 'feeder_lease', id, string.format('%.0f', lease))
    has = lease
end
if has > 0 then
    call('ZADD', P .. 'feeders', heard_ms + has, id)
end
return done()
