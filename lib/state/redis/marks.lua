-- SPDX-License-Identifier: Apache-2.0
-- marks.lua: raises the highest numbers that were ever given, and tells them.
-- arguments: task, event, node: at least these
-- returns: task, event, node
local NAMES = {'last_task', 'last_event', 'last_node'}
local row, marks = call('HMGET', P .. 'meta', unpack(NAMES)), {}
for i, name in ipairs(NAMES) do
    local known, seen = whole(row[i]) or 0, number()
    marks[i] = string.format('%.0f', math.max(known, seen))
    if seen > known then
        call('HSET', P .. 'meta', name, marks[i])
    end
end
return done(unpack(marks))
