-- SPDX-License-Identifier: Apache-2.0
-- marks.lua: raises the highest numbers that were ever given, and tells them.
-- arguments: task, event, node: at least these
-- returns: task, event, node
local NAMES = {'last_task', 'last_event', 'last_node'}
local marks = {}
for i, name in ipairs(NAMES) do
    local known, seen = meta_number(name), number()
    marks[i] = string.format('%.0f', math.max(known, seen))
    if seen > known then
        call('HSET', P .. 'meta', name, marks[i])
    end
end
return done(unpack(marks))
