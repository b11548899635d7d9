-- SPDX-License-Identifier: Apache-2.0
-- segment.lua: segments, the points from which a task can go on when the server has lost something.

-- ---- segments: what was made together, with its follow-ups; settled as a whole it is a point to go on from

local SEGMENT = {'open', 'generated', 'succeeded', 'failed', 'timed_out', 'cancelled', 'retried', 'redispatched',
                 'made', 'checkpoint', 'percent', 'since'}

local function segment_load(t, n)
    return numbers_read(call('HGET', P .. 'g:' .. t.id, n), SEGMENT, {}, t.id, 'g:' .. t.id, n)
end

local function checkpoint_load(t, n)
    return call('HGET', P .. 'c:' .. t.id, n) or damaged(t.id, 'c:%s has no field "%s"', t.id, n)
end

local function segment_get(t, n)
    local segment = t.segments[n]
    if not segment then
        segment = segment_load(t, n)
        t.segments[n] = segment
    end
    return segment
end

local function segment_write(t, n, segment)
    call('HSET', P .. 'g:' .. t.id, n, numbers_write(SEGMENT, segment))
end

-- The one that new subtasks belong to.
local function segment_open(t)
    local last = t.segment > t.base and segment_get(t, t.segment)
    if last and (t.segment - t.base >= SEGMENTS_MAX or
                 (last.generated < SEGMENT_SUBTASKS and NOW < last.since + SEGMENT_MS)) then
        return last
    end
    t.segment = t.segment + 1
    local segment = {since = NOW}
    for i = 1, #SEGMENT - 1 do
        segment[SEGMENT[i]] = 0
    end
    t.segments[t.segment] = segment
    return segment
end

-- Adds the segments at the front that are settled to the base, which is what `points` gives.
local function segments_fold(t)
    local base, folded
    while t.base < t.segment and segment_get(t, t.base + 1).open == 0 do
        base = base or segment_load(t, 'base')
        t.base = t.base + 1
        folded = segment_get(t, t.base)
        for _, name in ipairs(COUNTERS) do
            base[name] = base[name] + folded[name]
        end
        base.made, base.percent = folded.made, folded.percent
        if folded.checkpoint == 1 then
            if t.base_checkpoint > 0 then
                call('HDEL', P .. 'c:' .. t.id, t.base_checkpoint)
            end
            t.base_checkpoint = t.base
        end
        t.segments[t.base] = nil
        call('HDEL', P .. 'g:' .. t.id, t.base)
    end
    if folded then
        segment_write(t, 'base', base)
        call('ZADD', P .. 'points', t.base, t.id)
    end
end

local function segments_flush(t)
    segments_fold(t)
    for n, segment in pairs(t.segments) do
        segment_write(t, n, segment)
    end
end
