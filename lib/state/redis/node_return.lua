-- SPDX-License-Identifier: Apache-2.0
-- node_return.lua: what a node holds goes back to the queue, but for what it says it has; and the node goes, if asked.
-- arguments: node, 1 if the node goes, count; each: task, tile, attempt, mask
-- returns: nothing; NOT_FOUND
local node, goes, held = number(), number(), {}
if not call('ZSCORE', P .. 'nodes', node) then
    return fail(NOT_FOUND, 'node %.0f is not registered', node)
end
for _ = 1, number() do
    local key = text() .. ':' .. text() .. ':' .. text()
    held[key] = bor(held[key] or 0, number())
end
make_room()
for _, name in ipairs(call('SMEMBERS', P .. 'h:' .. string.format('%.0f', node))) do
    local id, n = string.match(name, '^(%d+):(%d+)$')
    local t = task_find(id)
    local tile = t and tile_get(t, tonumber(n))
    for i = 1, tile and #tile.groups or 0 do
        local g = tile.groups[i]
        local mask = band(g.mask, bnot(held[name .. ':' .. string.format('%.0f', g.attempt)] or 0))
        if g.state == LEASED and g.node == node and mask ~= 0 then
            group_return(tile, g, mask, 0, true)
        end
    end
end
if goes == 1 then
    call('ZREM', P .. 'nodes', node)
end
local answer = done()
if goes == 1 then
    call('UNLINK', P .. 'n:' .. node, P .. 'h:' .. node)
end
return answer
