-- SPDX-License-Identifier: Apache-2.0
-- sweep.lua: removes nodes whose lease ran out; what they held, and what is overdue, ends as lost or timed out.
-- arguments: none
-- returns: removed nodes; when to sweep again, or nil
local NODES_MAX, TILES_MAX = 16, 1000

local function end_all(tile, kind, message, is_ended)
    for i = 1, #tile.groups do
        local g = tile.groups[i]
        if g.state == LEASED and g.mask ~= 0 and is_ended(g) then
            each_bit(g.mask, function(bit_at)
                settle(tile, g, bit_at, kind, item_make(kind, tile, bit_at, g.attempt, message))
            end)
        end
    end
end

-- Ends what has ended of the tile that an index names; the name goes if there is no such task.
local function end_named(name, find, kind, message, is_ended)
    local id, n = string.match(name, '^(%d+):(%d+)$')
    local found = id and guard(id, function()
        local t = task_find(id)
        local tile = t and find(t, tonumber(n), LEASED)
        if tile then
            end_all(tile, kind, message, is_ended)
        end
        return t ~= nil
    end)
    if not found then
        call('ZREM', P .. 'due', name)
    end
end

make_room()
local lost = run_out(P .. 'nodes', NODES_MAX)
for _, node in ipairs(run_out(P .. 'nodes_past', NODES_MAX)) do
    lost[#lost + 1] = node
end
for _, node in ipairs(lost) do
    for _, name in ipairs(node_tiles(tonumber(node))) do
        end_named(name, tile_checked, LOST, 'its node was lost', function(g) return g.node == tonumber(node) end)
    end
end
local overdue = call('ZRANGEBYSCORE', P .. 'due', '-inf', NOW, 'LIMIT', 0, TILES_MAX)
for _, name in ipairs(overdue) do
    end_named(name, tile_listed, TIMEOUT, 'its node did not report it in time', function(g) return g.due <= NOW end)
end
local answer = done(lost)
for _, node in ipairs(lost) do
    node_forget(tonumber(node))
end
local next_ms
for _, key in ipairs({'nodes', 'nodes_past', 'due'}) do
    local first = call('ZRANGE', P .. key, 0, 0, 'WITHSCORES')
    local score = first[2] and tonumber(first[2])
    next_ms = (score and (not next_ms or score < next_ms)) and score or next_ms
end
answer[4] = next_ms and string.format('%.0f', next_ms)
return answer
