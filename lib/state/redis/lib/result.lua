-- SPDX-License-Identifier: Apache-2.0
-- result.lua: what becomes of a subtask whose result has come, and results that are kept.

-- ---- settling

local ITEM = '<Bi8I4i4i8I4' -- kind, seq, attempt, code, run_us, length of the message; then message, body

local function item_make(kind, tile, bit_at, attempt, message)
    return pack(ITEM, kind, tile.n * 32 + bit_at + 1, attempt, 0, 0, #message) .. message
end

-- As it is kept or listed: segment, length of the param, param, item.
local function item_keep(key, t, segment, param, item)
    call('RPUSH', P .. key .. t.id, pack('<I4I4', segment, #param) .. param .. item)
end

local COUNTED = {'succeeded', 'failed', 'timed_out', 'cancelled', 'failed'}

local function backoff(t, failures)
    local ms = t.backoff > 0 and t.backoff or BACKOFF_MS
    return math.min(BACKOFF_MAX_MS, ms * 2 ^ failures)
end

-- lib/model's model_retry: true if the subtask is queued again.
local function retry(tile, g, mask, kind)
    local t, lost = tile.task, kind == LOST
    if not is_live(t) or kind == SUCCESS or kind == CANCELLED then
        return false
    end
    if (lost and g.losses >= LOSSES_MAX) or (not lost and g.failures >= t.max_retries) then
        return false
    end
    local part, counter = group_split(tile, g, mask), lost and 'redispatched' or 'retried'
    part.state, part.node, part.due = WAITING, 0, NOW + (lost and 0 or backoff(t, g.failures))
    if lost then
        part.losses = part.losses + 1
    else
        part.failures = part.failures + 1
    end
    local segment = segment_get(t, g.segment)
    t[counter], segment[counter] = t[counter] + 1, segment[counter] + 1
    t.queued = t.queued + 1
    return true
end

-- The one place where the end of one leased subtask is decided and counted. 1: settled, 2: queued again.
local function settle(tile, g, bit_at, kind, item)
    local t, mask = tile.task, lshift(1, bit_at)
    t.changed, tile.changed = true, true
    t.running = t.running - 1
    node_count(g.node, -1, 0)
    if retry(tile, g, mask, kind) then
        return 2
    end
    g.mask = bxor(g.mask, mask)
    if not is_live(t) and kind ~= SUCCESS then
        kind = CANCELLED
        item = string.char(kind) .. string.sub(item, 2)
    end
    local segment = segment_get(t, g.segment)
    t[COUNTED[kind]], segment[COUNTED[kind]] = t[COUNTED[kind]] + 1, segment[COUNTED[kind]] + 1
    if t.keep == 1 then -- its segment stays open until it is read
        t.results, t.hints = t.results + 1, bor(t.hints, HINT_RESULTS)
        item_keep('r:', t, g.segment, '', item)
    else
        segment.open = segment.open - 1
    end
    if kind ~= SUCCESS and kind ~= CANCELLED then
        local value = pieces_cut(t, tile.n, pieces_get(t, tile.n), mask)
        item_keep('f:', t, g.segment, string.sub(value, PIECE_BYTES + 5), item)
    end
    return 1
end

-- ---- kept results

-- The server may have lost which were read last, and others may have come in their places: what there is gets new
-- positions, once after each start. Returns whether it did.
local function results_anew(t)
    local epoch = meta_number('epoch')
    if t.epoch >= epoch then
        return false
    end
    t.epoch, t.results_read, t.results = epoch, epoch, epoch + call('LLEN', P .. 'r:' .. t.id)
    return true
end
