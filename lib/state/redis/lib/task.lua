-- SPDX-License-Identifier: Apache-2.0
-- task.lua: tasks as Lua tables: read once, checked, moved on from phase to phase, written back once.

-- ---- tasks

-- A task's hash has the texts as fields of their own, its numbers together in two: "fixed" and "moving".
local FIXED = {'priority', 'deadline', 'max_retries', 'backoff', 'tolerated', 'max_running', 'keep', 'fed', 'closing'}
local MOVING = {'phase', 'paused', 'outcome', 'version', 'owner_until', 'fence', 'generated', 'succeeded',
                'failed', 'timed_out', 'cancelled', 'retried', 'redispatched', 'running', 'queued', 'done', 'made',
                'cursor', 'results', 'results_read', 'percent', 'segment', 'base', 'checkpoint', 'base_checkpoint', 'epoch'}
local COUNTERS = {'generated', 'succeeded', 'failed', 'timed_out', 'cancelled', 'retried', 'redispatched'}
-- A task that has had large parameters has a third, "queue": bytes of those that are fresh, as of this cursor and this
-- many generated; whether some may be values of their own. Programs from before it leave it as it is; it does not count
-- then.
local QUEUE = '<dddB'
local QUEUE_BYTES = 25

-- What the numbers of a task or a segment must lie within; 0 and NEVER if not said.
local LEAST = {tolerated = -1, percent = -1, phase = GENERATING, cursor = 1, segment = 1, base = 1}
local MOST = {keep = 1, fed = 1, closing = 1, paused = 1, done = 1, phase = CLOSED, outcome = OUTCOME_DROPPED, percent = 100,
              priority = U32_MAX, max_retries = U32_MAX, backoff = U32_MAX, max_running = U32_MAX, segment = U32_MAX,
              generated = 1e14}

local function numbers_read(row, names, out, id, key, field)
    local i = 0
    for value in string.gmatch(row or damaged(id, '%s has no field "%s"', key, field), '%S+') do
        i = i + 1
        local n, name = tonumber(value), names[i]
        if not (name and n and n % 1 == 0 and n >= (LEAST[name] or 0) and n <= (MOST[name] or NEVER)) then
            damaged(id, '%s, field "%s": its number %d is "%s"', key, field, i, string.sub(value, 1, 40))
        end
        out[name] = n
    end
    if i < #names then
        damaged(id, '%s, field "%s" has %d numbers of %d', key, field, i, #names)
    end
    return out
end

local function numbers_write(names, from)
    local row = {}
    for i, name in ipairs(names) do
        row[i] = string.format('%.0f', from[name])
    end
    return table.concat(row, ' ')
end

local tasks, touched = {}, {}
local subject -- the task that was asked for last

local function fresh(t)
    return t.generated + 1 - t.cursor
end

local function queue_full(t)
    return fresh(t) >= QUEUE_HIGH or t.bytes >= QUEUE_BYTES_HIGH
end

local function queue_low(t)
    return fresh(t) <= QUEUE_LOW and t.bytes <= QUEUE_BYTES_LOW
end

local function is_live(t)
    return t.phase == GENERATING or t.phase == DRAINING
end

local function results_full(t)
    return t.results - t.results_read >= RESULTS_HIGH
end

-- When a generator may claim it: a time; below 0, the lower the sooner: whenever one has room; nil: not in this state.
local function claim_at(t)
    if t.phase ~= GENERATING or t.paused == 1 or t.fed == 1 or queue_full(t) then
        return nil
    end
    return (t.owner ~= '0' or t.owner_until > 0) and t.owner_until or -t.priority
end

-- Nobody's claim holds it up any longer.
local function claim_free(t)
    t.owner_until = t.owner == '0' and 0 or t.owner_until
    t.hints = bor(t.hints, HINT_GENERATE)
end

local function task_enter(t)
    t.phase_before, t.claim_before, t.low_before = t.phase, claim_at(t), queue_low(t)
    t.hints, t.used_count, t.used_us = 0, 0, 0
    t.tiles, t.segments = {}, {}
    tasks[t.id] = t
    touched[#touched + 1] = t
    return t
end

-- What must hold of them whatever has happened.
local function task_adds_up(t)
    return t.queued >= fresh(t) and fresh(t) >= 0 and t.made <= t.generated and t.base <= t.segment and
        t.results_read <= t.results and
        t.generated == t.succeeded + t.failed + t.timed_out + t.cancelled + t.running + t.queued
end

-- Of what stays as it was admitted.
local function task_sum(type_name, group, fixed)
    return redis.sha1hex(type_name .. '\0' .. group .. '\0' .. fixed)
end

-- What is not known is not waited for: then the claim is placed anew.
local function queue_read(t, row)
    if not row then
        t.bytes, t.own = 0, 0
        return task_enter(t)
    end
    if #row ~= QUEUE_BYTES then
        damaged(t.id, 't:%s, field "queue": %d bytes are no count', t.id, #row)
    end
    t.bytes, t.bytes_cursor, t.bytes_generated, t.own = unpack_(QUEUE, row)
    if not (t.bytes >= 0 and t.bytes <= NEVER and t.own <= 1) then
        damaged(t.id, 't:%s, field "queue" makes no sense', t.id)
    end
    local is_known = t.bytes_cursor == t.cursor and t.bytes_generated == t.generated
    t.bytes = is_known and t.bytes or 0
    task_enter(t)
    if not is_known then
        t.claim_before, t.low_before = false, false
    end
    return t
end

local function task_find(id)
    local t = tasks[id]
    subject = id
    if t ~= nil then
        return t or nil
    end
    local row = call('HMGET', P .. 't:' .. id, 'fixed', 'moving', 'type', 'group', 'owner', 'message', 'attempts', 'sum',
                     'queue')
    if not (row[1] or row[2] or row[3] or row[4] or row[5]) then
        tasks[id] = false
        return nil
    end
    for i, field in ipairs({'fixed', 'moving', 'type', 'group', 'owner'}) do
        if not row[i] then
            damaged(id, 't:%s has no field "%s"', id, field)
        end
    end
    t = {id = id, type = row[3], group = row[4], owner = row[5], message = row[6] or nil, attempts = whole(row[7]) or 0}
    t.owner_before = t.owner
    numbers_read(row[1], FIXED, t, id, 't:' .. id, 'fixed')
    numbers_read(row[2], MOVING, t, id, 't:' .. id, 'moving')
    if row[8] and row[8] ~= task_sum(row[3], row[4], row[1]) then
        damaged(id, 't:%s: its fields "type", "group" and "fixed" are not what was stored', id)
    end
    if not task_adds_up(t) then
        damaged(id, 't:%s, field "moving" does not add up: %s', id, row[2])
    end
    return queue_read(t, row[9])
end

-- Takes a damaged task out of the state, as if that had lost it: a manager, which hears of it, admits it again as far
-- as its record tells. Its subtasks are numbered again then, by other attempts ("attempts": so that no result of an
-- earlier one is taken for one of these).
local function task_ruin(id, text)
    local t = tasks[id]
    make_room()
    tasks[id] = false
    if t then
        t.ruined = true
    end
    for _, kind in ipairs({'s:', 'p:'}) do
        local ok, tiles = pcall(call, 'HKEYS', P .. kind .. id)
        for _, n in ipairs(ok and tiles or {}) do
            if not string.find(n, ':', 1, true) then
                call('ZREM', P .. 'due', id .. ':' .. n)
            end
        end
    end
    for kind in pairs(KEYS_OF_TASK) do
        call('UNLINK', P .. kind .. ':' .. id)
    end
    for _, key in ipairs({'phase:1', 'phase:2', 'phase:3', 'phase:4', 'phase:5', 'taken:4', 'taken:5', 'claims',
                          'deadlines', 'feeders', 'points', 'gone'}) do
        call('ZREM', P .. key, id)
    end
    call('HDEL', P .. 'gone_read', id)
    call('HDEL', P .. 'feeder_lease', id)
    local times = whole(string.match(call('HGET', P .. 'damaged', id) or '', '^%d+')) or 0
    call('HSET', P .. 'damaged', id, string.format('%.0f %s', times + 1, string.sub(text, 1, 400)))
    call(PUBLISH, KEYS[1] .. ':hints', -- also to the caller
         table.concat({'', HINT_DAMAGED, id, string.format('%.0f', microseconds()), '', '', 0, 0, -1, 0, 0, 0, 0, ''}, '\0'))
end

-- Does something with one task of several: if that is damaged, it is taken out, and the others go on. What fn takes
-- from the arguments must have been taken before.
local function guard(id, fn, ...)
    local ok, answer = pcall(fn, ...)
    if ok then
        return answer
    end
    local whose, what = damage_of(error_text(answer), id)
    if not whose then
        error(error_text(answer), 0)
    end
    task_ruin(whose, what)
end

-- A task that an index names. If it is not there, the index is all that was left of it.
local function task_listed(id)
    return task_find(id) or damaged(id, 't:%s is missing', id)
end

-- Nothing of a stopping task is dispatched; what was queued goes when it closes.
local function task_stop(t, outcome, message)
    t.changed = true
    t.outcome, t.message = outcome, message
    t.phase = STOPPING
    t.cancelled, t.queued, t.cursor, t.bytes = t.cancelled + t.queued, 0, t.generated + 1, 0
    t.hints = bor(t.hints, HINT_STOP)
end

local function task_clear(t)
    for _, kind in ipairs({'p:', 's:', 'w:', 'c:', 'g:'}) do
        call('UNLINK', P .. kind .. t.id)
    end
    call('ZREM', P .. 'points', t.id)
    t.tiles, t.segments = {}, {}
end

-- lib/model's model_phase_next: the one place where a task moves on by itself.
local function task_advance(t)
    if t.phase >= CLOSING then
        return
    end
    if t.phase ~= STOPPING and t.tolerated >= 0 and t.failed + t.timed_out > t.tolerated then
        task_stop(t, OUTCOME_FAILED,
                  string.format('%.0f subtasks failed, %.0f tolerated', t.failed + t.timed_out, t.tolerated))
    end
    if t.phase ~= STOPPING and t.done == 0 then
        return
    end
    if t.queued > 0 or t.running > 0 then
        t.phase = t.phase == GENERATING and DRAINING or t.phase
        return
    end
    if t.phase ~= STOPPING then
        t.outcome = OUTCOME_COMPLETED
    end
    t.phase = (t.closing == 1 and t.outcome ~= OUTCOME_DROPPED) and CLOSING or CLOSED
end

local function task_place(t)
    if t.phase ~= t.phase_before then
        call('ZREM', P .. 'phase:' .. t.phase_before, t.id)
        call('ZADD', P .. 'phase:' .. t.phase, t.id, t.id)
        if t.phase >= STOPPING then
            call('ZREM', P .. 'deadlines', t.id)
            if t.fed == 1 then
                call('ZREM', P .. 'feeders', t.id)
                call('HDEL', P .. 'feeder_lease', t.id)
            end
        end
        if t.phase >= CLOSING then
            call('ZADD', P .. 'taken:' .. t.phase, 0, t.id)
            call('ZREM', P .. 'taken:' .. (t.phase - 1), t.id)
        end
    end
    local at = claim_at(t)
    if at ~= t.claim_before then
        if at then
            call('ZADD', P .. 'claims', at, t.id)
        else
            call('ZREM', P .. 'claims', t.id)
        end
    end
end

local function task_write(t)
    local key = P .. 't:' .. t.id
    if (t.bytes_cursor or t.own == 1 or t.bytes > 0) and
        (t.bytes_cursor ~= t.cursor or t.bytes_generated ~= t.generated) then
        call('HSET', key, 'moving', numbers_write(MOVING, t), 'queue',
             pack(QUEUE, t.bytes, t.cursor, t.generated, t.own))
    else
        call('HSET', key, 'moving', numbers_write(MOVING, t))
    end
    if t.owner ~= t.owner_before then
        call('HSET', key, 'owner', t.owner)
    end
    if t.message then
        call('HSET', key, 'message', t.message)
    end
end
