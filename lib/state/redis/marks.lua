-- SPDX-License-Identifier: Apache-2.0
-- marks.lua: raises the highest numbers that were ever given (or, of nodes, may be given by this shard), and tells them.
-- arguments: task, event, node: at least these
-- returns: task, event, node
local NAMES = {'last_task', 'last_event', 'last_node'}
local marks = {}
for i, name in ipairs(NAMES) do
    local known, seen = meta_number(name), number()
    marks[i] = string.format('%.0f', math.max(known, seen, name == 'last_node' and meta_number('node_reserve') or 0))
    if seen > known then
        call('HSET', P .. 'meta', name, string.format('%.0f', seen))
    end
end
return done(unpack(marks))
