-- SPDX-License-Identifier: Apache-2.0
-- requeue.lua: puts leased subtasks back in the queue.
-- arguments: reason (0: returned unrun, counts as redispatched; 1: declined), ready, node (0: any), session,
--   count; each: task, tile, attempt, mask
-- returns: nothing
local reason, ready, node, session = number(), number(), number(), text()
make_room()
local function requeue(id, n, attempt, mask)
    local t = task_find(id)
    local tile = t and tile_get(t, n)
    for i = 1, tile and #tile.groups or 0 do
        local g = tile.groups[i]
        if g.state == LEASED and g.attempt == attempt and band(g.mask, mask) ~= 0 and group_is_of(g, node, session) then
            group_return(tile, g, band(g.mask, mask), ready, reason == 0)
        end
    end
end
for _ = 1, number() do
    local id, n, attempt, mask = text(), number(), number(), number()
    guard(id, requeue, id, n, attempt, mask)
end
return done()
