-- SPDX-License-Identifier: Apache-2.0
-- lease.lua: gives ready subtasks to nodes, one after the other: retries that are due first, then fresh ones in order.
-- arguments: count of nodes; each: node, leases that it may hold afterwards (0: any number), bytes that the params may
--   take, count of picks; each: task, count
-- returns: for each node, as far as the answer has room, {0, parts, one after the other: task, type, tile, mask, attempt, timeout, pieces; the number of
--   picks that were done before the node or the bytes were full; how many of the next found no room}, {NOT_FOUND, why} or
--   {FAILED_PRECONDITION, why}: not verified
local ANSWER_BYTES = 4194304 -- after which it ends early
local verified = is_verified()
local to -- whose turn it is: {node, free: leases that it may get, room: bytes left, out}

-- Up to `want` of the subtasks of a group in the mask.
local function lease(tile, g, mask, want)
    local t = tile.task
    local value = pieces_get(t, tile.n)
    mask = lowest(mask, want)
    if #value > to.room or t.own == 1 then
        local fits = pieces_limit(value, mask, to.room)
        mask = fits ~= 0 and fits or mask -- none: pieces_cut says what is wrong
    end
    value = pieces_cut(t, tile.n, value, mask)
    if g.state == FRESH and t.bytes > 0 then
        t.bytes = math.max(t.bytes - pieces_large(value), 0)
    end
    local part, count = group_split(tile, g, mask), count_bits(mask)
    part.state, part.node, part.attempt, part.due = LEASED, to.node, g.attempt + 1, NOW + g.timeout + LEASE_SPARE_MS
    t.queued, t.running = t.queued - count, t.running + count
    node_count(to.node, count, 0)
    to.room = to.room - #value
    local out, at = to.out, #to.out
    out[at + 1], out[at + 2], out[at + 3], out[at + 4] = t.id, t.type, tile.n, mask
    out[at + 5], out[at + 6], out[at + 7] = part.attempt, g.timeout, value
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
            if g.state == WAITING and g.due <= NOW and taken < want and to.room > 0 then
                taken = taken + lease(tile, g, g.mask, want - taken)
            end
        end
    end
    return taken
end

local function lease_fresh(t, want)
    while want > 0 and fresh(t) > 0 and to.room > 0 do
        local tile, taken = tile_get(t, math.floor((t.cursor - 1) / 32)), 0
        for i = 1, #tile.groups do
            local g = tile.groups[i]
            if g.state == FRESH and g.mask ~= 0 and taken < want and to.room > 0 then
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

-- What is left of the pick; nil: there is no such task.
local function lease_task(id, want)
    local t = task_find(id)
    if not t then
        return nil
    end
    want = math.min(want, room(t))
    local may = math.max(math.min(want, to.free), 0)
    local got = may - lease_fresh(t, may - lease_retries(t, may))
    to.free = to.free - got
    return want - got
end

-- Leases that it may get; nil, and why not.
local function room_of(node, most)
    local id = string.format('%.0f', node)
    if not call('ZSCORE', P .. 'nodes', id) then
        return nil, string.format('node %s is not registered', id)
    end
    local holder, wrong = node_fields(id)
    if not holder then
        return nil, string.format('node %s must register again: %s', id, wrong)
    end
    local running = tonumber(holder[6]) + node_counted(node)
    if most > 0 and running >= most and running > 32 * #node_tiles(node) then -- it holds 32 of a tile at most
        return nil, string.format('node %s must register again: %sn:%s, field "running" is %s', id, P, id, holder[6])
    end
    return most > 0 and most - running or math.huge
end

local function lease_picks(picks)
    local done_picks = 0
    for i = 1, #picks, 2 do
        local id, parts = picks[i], #to.out
        local left = guard(id, lease_task, id, picks[i + 1])
        while not left and #to.out > parts do -- what was taken of a damaged task goes to nobody
            to.out[#to.out] = nil
        end
        if left and left > 0 and (to.room <= 0 or to.free <= 0) then
            return {0, to.out, done_picks, left}
        end
        done_picks = done_picks + 1
    end
    return {0, to.out, done_picks, 0}
end

local answers, room_left = {}, ANSWER_BYTES
for i = 1, number() do
    if room_left <= 0 then
        break -- the rest is asked for anew
    end
    local node, most, bytes, picks = number(), number(), number(), {}
    for _ = 1, number() do
        picks[#picks + 1] = text()
        picks[#picks + 1] = number()
    end
    local free, why = room_of(node, most)
    to = {node = node, free = free, room = bytes, out = {}}
    if not free then
        answers[i] = {NOT_FOUND, why}
    else
        answers[i] = verified and lease_picks(picks) or {FAILED_PRECONDITION, UNVERIFIED}
        room_left = room_left - (bytes - to.room)
    end
end
return done(answers)
