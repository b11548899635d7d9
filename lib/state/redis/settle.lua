-- SPDX-License-Identifier: Apache-2.0
-- settle.lua: ends leased subtasks: counts them, keeps results, lists failures, queues follow-ups and retries.
-- arguments: count of entries; each begins with task, tile, attempt, node (0: any), session, and what it is:
--   'many', mask, run_us, run times (8 bytes each), places in the tile (a byte each), items' lengths (4 bytes each),
--     items: successes. Lengths and items are empty if the caller knows that the task keeps no results.
--   'one', place, kind, run_us, item, batch: any single result, with follow-ups
-- returns: for each entry, the mask of what was settled, or 0 stale, 1 settled, 2 queued again; for each entry, 1 if
--   its task keeps results
local verdicts, keeps = {}, {}

local function many_read()
    return {number(), number(), text(), text(), text(), text()}
end

local function many(t, n, attempt, node, session, args)
    local mask, run_us, times, places, lengths, items = unpack(args)
    local tile, settled, segments = tile_get(t, n), 0, {}
    for i = 1, #tile.groups do
        local g = tile.groups[i]
        local hit = (g.state == LEASED and g.attempt == attempt and group_is_of(g, node, session)) and
            band(g.mask, mask) or 0
        if hit ~= 0 then
            local count, segment = count_bits(hit), segment_get(t, g.segment)
            g.mask, settled = bxor(g.mask, hit), bor(settled, hit)
            t.running, t.succeeded = t.running - count, t.succeeded + count
            segment.succeeded = segment.succeeded + count
            segment.open = segment.open - (t.keep == 1 and 0 or count)
            node_count(g.node, -count, count)
            t.used_count = t.used_count + count
            segments[#segments + 1] = {hit, g.segment}
        end
    end
    if settled == 0 then
        tile_checked(t, n)
        return 0
    end
    t.changed, tile.changed, t.hints = true, true, bor(t.hints, HINT_SETTLED)
    if settled == mask then
        t.used_us = t.used_us + run_us
        if t.keep == 0 then
            return settled
        end
    end
    local at, kept = 1, t.keep == 1 and #segments or 0
    for i = 1, #places do
        local place = lshift(1, string.byte(places, i))
        local length = #lengths > 0 and unpack_('<I4', lengths, 4 * i - 3) or 0
        if settled ~= mask and band(settled, place) ~= 0 then
            t.used_us = t.used_us + unpack_('<i8', times, 8 * i - 7)
        end
        for k = 1, kept do
            local part = segments[k]
            if band(part[1], place) ~= 0 then
                item_keep('r:', t, part[2], '', string.sub(items, at, at + length - 1))
                t.results, t.hints = t.results + 1, bor(t.hints, HINT_RESULTS)
            end
        end
        at = at + length
    end
    return settled
end

local function one_read()
    return {number(), number(), number(), text(), batch_read()}
end

local function one(t, n, attempt, node, session, args)
    local place, kind, run_us, item, batch = unpack(args)
    local tile, mask = tile_get(t, n), lshift(1, place)
    for i = 1, #tile.groups do
        local g = tile.groups[i]
        if g.state == LEASED and g.attempt == attempt and band(g.mask, mask) ~= 0 and group_is_of(g, node, session) then
            node_count(g.node, 0, 1)
            t.hints = bor(t.hints, HINT_SETTLED)
            t.used_count, t.used_us = t.used_count + 1, t.used_us + run_us
            local segment = g.segment
            local verdict = settle(tile, g, place, kind, item)
            if verdict == 1 and batch.count > 0 and is_live(t) then
                task_append(t, batch, 0, batch.count, segment)
            end
            return verdict
        end
    end
    tile_checked(t, n)
    return 0
end

local function entry(i, id, n, attempt, node, session, fn, args)
    local t = task_find(id)
    keeps[i] = t and t.keep or 0
    return t and fn(t, n, attempt, node, session, args)
end

make_room()
for i = 1, number() do
    local id, n, attempt, node, session, is_many = text(), number(), number(), number(), text(), text() == 'many'
    local args = (is_many and many_read or one_read)()
    keeps[i] = 0
    verdicts[i] = guard(id, entry, i, id, n, attempt, node, session, is_many and many or one, args) or 0
end
return done(verdicts, keeps)
