-- SPDX-License-Identifier: Apache-2.0
-- lease.lua: gives ready subtasks to a node: retries that are due first, then fresh ones in order.
-- arguments: node, leases that it may hold afterwards (0: any number), bytes that the params may take, count of picks;
--   each: task, count
-- returns: parts, one after the other: task, type, tile, mask, attempt, timeout, pieces; the number of picks that were
--   done before the node or the bytes were full; how many of the next found no room; NOT_FOUND; FAILED_PRECONDITION: not verified
local node, most, room_bytes, out, bytes = number(), number(), number(), {}, 0
if not call('ZSCORE', P .. 'nodes', node) then
    return fail(NOT_FOUND, 'node %.0f is not registered', node)
end
local holder, wrong = node_fields(string.format('%.0f', node))
if not holder then
    return fail(NOT_FOUND, 'node %.0f must register again: %s', node, wrong)
end
if not is_verified() then
    return fail(FAILED_PRECONDITION, UNVERIFIED)
end

-- Up to `want` of the subtasks of a group in the mask.
local function lease(tile, g, mask, want)
    local t = tile.task
    local value = pieces_get(t, tile.n)
    mask = lowest(mask, want)
    if bytes + #value > room_bytes then
        mask = pieces_limit(value, mask, room_bytes - bytes)
    end
    value = pieces_cut(t, tile.n, value, mask)
    local part, count = group_split(tile, g, mask), count_bits(mask)
    part.state, part.node, part.attempt, part.due = LEASED, node, g.attempt + 1, NOW + g.timeout + LEASE_SPARE_MS
    t.queued, t.running = t.queued - count, t.running + count
    node_count(node, count, 0)
    bytes = bytes + #value
    for _, field in ipairs({t.id, t.type, tile.n, mask, part.attempt, g.timeout, value}) do
        out[#out + 1] = field
    end
    return count
end

local function lease_retries(t, want)
    if t.queued <= fresh(t) then
        return 0
    end
    tiles_flush(t) -- the same task may have been picked before
    local taken = 0
    for _, n in ipairs(call('ZRANGEBYSCORE', P .. 'w:' .. t.id, '-inf', NOW, 'LIMIT', 0, want)) do
        local tile = tile_listed(t, tonumber(n), WAITING)
        for i = 1, #tile.groups do
            local g = tile.groups[i]
            if g.state == WAITING and g.due <= NOW and taken < want and bytes < room_bytes then
                taken = taken + lease(tile, g, g.mask, want - taken)
            end
        end
    end
    return taken
end

local function lease_fresh(t, want)
    while want > 0 and fresh(t) > 0 and bytes < room_bytes do
        local tile, taken = tile_get(t, math.floor((t.cursor - 1) / 32)), 0
        for i = 1, #tile.groups do
            local g = tile.groups[i]
            if g.state == FRESH and g.mask ~= 0 and taken < want and bytes < room_bytes then
                taken = taken + lease(tile, g, g.mask, want - taken)
            end
        end
        want, t.cursor = want - taken, t.cursor + taken
        if taken == 0 then
            damaged(t.id, 's:%s, field "%s": subtask %.0f is missing', t.id, tile.n, t.cursor)
        end
    end
    return want
end

local function room(t)
    if not is_live(t) or t.paused == 1 or results_full(t) then
        return 0
    end
    local free = t.max_running == 0 and t.queued or math.max(t.max_running - t.running, 0)
    return math.min(free, t.queued)
end

-- Counts what cannot be: it holds 32 of a tile at most.
local running = tonumber(holder[6])
if most > 0 and running >= most and running > 32 * #node_tiles(node) then
    return fail(NOT_FOUND, 'node %.0f must register again: %sn:%.0f, field "running" is %s', node, P, node, holder[6])
end
local free = most > 0 and most - running or math.huge
local picked, no_room = 0, 0

-- What is left of the pick; nil: there is no such task.
local function lease_task(id, want)
    local t = task_find(id)
    if not t then
        return nil
    end
    want = math.min(want, room(t))
    local may = math.max(math.min(want, free), 0)
    local got = may - lease_fresh(t, may - lease_retries(t, may))
    free = free - got
    return want - got
end

for _ = 1, number() do
    local id, want, parts = text(), number(), #out
    local left = guard(id, lease_task, id, want)
    while not left and #out > parts do -- what was taken of a damaged task goes to nobody
        out[#out] = nil
    end
    no_room = left or 0
    if no_room > 0 and (bytes >= room_bytes or free <= 0) then
        break
    end
    picked, no_room = picked + 1, 0
end
return done(out, picked, no_room)
