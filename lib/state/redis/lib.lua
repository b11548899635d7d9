-- SPDX-License-Identifier: Apache-2.0
-- lib.lua: what every script begins with: arguments, tasks, tiles, segments, nodes, and the end of a call.
--
-- KEYS[1] is the shard's prefix, such as "dtf:{0}"; every key that a script touches begins with it (but for one of
-- hello.lua), so that a shard lives in one hash slot. There is no key of this name: while a Redis Cluster moves the slot it
-- therefore runs no script, on either side. In a cluster KEYS[2] is there, and the same. ARGV[1] names the process that calls, ARGV[2] is the time in milliseconds; the
-- script's own arguments follow. docs/REDIS.md says what each key holds.
--
-- A script returns fail(...), before it has written anything, or done(...): {0, hints, ...}. It changes tasks,
-- tiles and segments as Lua tables; done() moves the tasks on and writes each back once. Its text becomes the body of
-- a function, which run() at the end calls: see there what becomes of a task whose keys are damaged.
local call = redis.call
local band, bor, bxor, bnot, lshift = bit.band, bit.bor, bit.bxor, bit.bnot, bit.lshift
local pack, unpack_ = struct.pack, struct.unpack
local P, NOW = KEYS[1] .. ':', tonumber(ARGV[2])
local IS_CLUSTER = KEYS[2] ~= nil
local PUBLISH, NUMSUB = IS_CLUSTER and 'SPUBLISH' or 'PUBLISH', IS_CLUSTER and 'SHARDNUMSUB' or 'NUMSUB'

-- Numbers that C has too: base/status.h, model/task.h, state/state.h.
local NOT_FOUND, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE = 5, 8, 9, 10, 11
local GENERATING, DRAINING, STOPPING, CLOSING, CLOSED = 1, 2, 3, 4, 5
local FORMAT, FORMAT_MS = '3', 60000 -- STATE_REDIS_FORMAT; for how long nobody else must have listened
local PHASES = {'generating', 'draining', 'stopping', 'closing', 'closed'}
local OUTCOME_COMPLETED, OUTCOME_FAILED, OUTCOME_DROPPED = 1, 3, 5
local SUCCESS, FAILURE, TIMEOUT, CANCELLED, LOST = 1, 2, 3, 4, 5
local FRESH, LEASED, WAITING = 0, 1, 2
local HINT_SETTLED, HINT_VIEW, HINT_GENERATE, HINT_STOP, HINT_RESULTS, HINT_CLOSING, HINT_CLOSED, HINT_GONE, HINT_DAMAGED =
    1, 2, 4, 8, 16, 32, 64, 128, 256
local QUEUE_HIGH, QUEUE_LOW, RESULTS_HIGH, LOSSES_MAX, BATCH_BYTES = 20000, 10000, 20000, 5, 2097152
local QUEUE_BYTES_HIGH = 67108864
local QUEUE_BYTES_LOW = QUEUE_BYTES_HIGH / 2
local LEASE_SPARE_MS, READY_TILES = 30000, 32
local LARGE_PARAM = 4096 -- bytes: it is a value of its own, and the queue is bounded by it
local SOME = 1000 -- of many that one call changes
local READ_OUT = -1 -- in `gone`, instead of a time; then one less: the next expire_results forgets it
local ATTEMPTS_ANEW = 100000 -- apart, for each time that a task was damaged
local SEGMENT_SUBTASKS, SEGMENT_MS, SEGMENTS_MAX = 500, 1000, 64

-- A lease that ends later than this was given by a clock gone wrong, and must not outlive it.
local LEASE_MAX_MS, NEVER, U32_MAX = 600000, 9007199254740992, 4294967295

-- Members of a sorted set of leases that have run out.
local function run_out(key, max)
    local ids = call('ZRANGEBYSCORE', key, '-inf', NOW, 'LIMIT', 0, max)
    if #ids < max then
        local wrong = call('ZRANGEBYSCORE', key, NOW + 2 * LEASE_MAX_MS, '(' .. string.format('%.0f', NEVER), 'LIMIT', 0,
                           max - #ids)
        for _, id in ipairs(wrong) do
            ids[#ids + 1] = id
        end
    end
    return ids
end

-- ---- arguments

local argument = 2

local function text()
    argument = argument + 1
    return ARGV[argument]
end

local function number()
    return tonumber(text())
end

-- The server's own clock, for what must rise whatever the store has lost.
local function microseconds()
    local clock = call('TIME')
    return tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end

local function fail(code, format, ...)
    return {code, string.format(format, ...)}
end

-- Whether what is here was compared with the records since the server started: if not, it may be older than they
-- are, and nothing of it may be run.
local function is_verified()
    local row = call('HMGET', P .. 'meta', 'epoch', 'verified')
    return row[1] and row[1] == row[2]
end

local UNVERIFIED = 'the state is being compared with the records'

-- Whether all who listen here know this format (each says so by listening to a channel that carries nothing), and since
-- when that was so at every look since the server began anew; nil: not yet.
local function format_alone()
    local listen = call('PUBSUB', NUMSUB, KEYS[1] .. ':hints', KEYS[1] .. ':format' .. FORMAT)
    local row = call('HMGET', P .. 'meta', 'epoch', 'alone')
    local epoch, since = string.match(row[2] or '', '^(%d+) (%d+)$')
    return listen[4] > 0 and listen[4] == listen[2], epoch and epoch == row[1] and tonumber(since) or nil
end

-- Before a script that frees more than it takes: Redis refuses its writes no more when it is full.
local function make_room()
    call('DEL', P .. '-')
end

-- ---- damage: keys that are not as the scripts write them

-- Says so of a task: nothing more is done with it; guard() or run() takes it out.
local function damaged(id, format, ...)
    error('damaged ' .. id .. ' ' .. P .. string.format(format, ...), 0)
end

-- A whole number that a script may have written; nil: it is none.
local function whole(value, max)
    local n = tonumber(value)
    return (n and n % 1 == 0 and n >= 0 and n <= (max or NEVER)) and n or nil
end

-- A number of `meta`. What is none there, or is so large that it leaves little room for more, is not known, and comes
-- again from the records.
local META_MOST = {last_task = 2 ^ 52, last_event = 2 ^ 52, last_node = 2 ^ 32, node_reserve = 2 ^ 32}

local function meta_number(name)
    return whole(call('HGET', P .. 'meta', name), META_MOST[name]) or 0
end

local KEYS_OF_TASK = {t = 'hash', p = 'hash', s = 'hash', c = 'hash', g = 'hash', w = 'zset', r = 'list', f = 'list'}

-- The key of a task that is of another type than it should be.
local function wrong_key(id)
    for kind, should in pairs(KEYS_OF_TASK) do
        local is = call('TYPE', P .. kind .. ':' .. id).ok
        if is ~= 'none' and is ~= should then
            return string.format('%s%s:%s is a %s, no %s', P, kind, id, is, should)
        end
    end
end

-- An error's text, whatever Redis makes of what was raised. (Only texts may be raised: a table that nobody catches
-- ends Redis 7.0.)
local function error_text(e)
    return type(e) == 'table' and e.err or tostring(e)
end

-- What an error says of the task that was looked at: whose damage it is, and what. nil: it is none of a task's; Redis
-- is full, is no master any more, an index is of another type.
local function damage_of(e, id)
    local whose, what = string.match(e, '^damaged (%S+) (.*)$')
    if whose then
        return whose, what
    elseif id and string.find(e, 'WRONGTYPE', 1, true) then
        local key = wrong_key(id)
        return key and id, key
    elseif id and (string.find(e, 'attempt to ', 1, true) or string.find(e, 'bad argument', 1, true)) then
        return id, string.format('%st:%s and what belongs to it do not fit together: %s', P, id, e)
    end
end

-- ---- sets of bits: which of a tile's 32 subtasks

local function count_bits(mask)
    if mask == -1 then
        return 32
    end
    local n = 0
    while mask ~= 0 do
        mask = band(mask, mask - 1)
        n = n + 1
    end
    return n
end

local function bits(first, count)
    if count == 32 then
        return -1
    end
    return lshift(lshift(1, count) - 1, first)
end

local function lowest(mask, count)
    local out = 0
    while mask ~= 0 and count > 0 do
        local one = band(mask, -mask)
        out, mask, count = bor(out, one), bxor(mask, one), count - 1
    end
    return out
end

local function each_bit(mask, fn)
    for i = 0, 31 do
        if band(mask, lshift(1, i)) ~= 0 then
            fn(i)
        end
    end
end

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

-- ---- tiles: groups of subtasks, of 32 consecutive ones, that are in the same state

-- A parameter that is a value of its own: a field beside those of the tiles.
local function own_name(n, bit_at)
    return n .. ':' .. bit_at
end

local GROUP = '<BBHi4I4I4I4I4d'
local GROUP_BYTES = 32

-- When the first leased one is overdue, when the first waiting one is ready, who holds something.
local function tile_marks(tile)
    local due, ready, nodes
    for _, g in ipairs(tile.groups) do
        if g.state == LEASED then
            due = (due and due < g.due) and due or g.due
            nodes = nodes or {}
            nodes[g.node] = true
        elseif g.state == WAITING then
            ready = (ready and ready < g.due) and ready or g.due
        end
    end
    return due, ready, nodes
end

-- seen: which of it there are.
local function tile_new(t, n, groups, seen)
    local tile = {task = t, n = n, groups = groups, seen = seen}
    tile.due, tile.ready, tile.nodes = tile_marks(tile)
    t.tiles[n] = tile
    return tile
end

local function tile_get(t, n)
    local tile = t.tiles[n]
    if tile then
        return tile
    end
    local row, groups, seen = call('HGET', P .. 's:' .. t.id, n), {}, 0
    if row and #row % GROUP_BYTES ~= 0 then
        damaged(t.id, 's:%s, field "%s": %d bytes are no groups', t.id, n, #row)
    end
    for at = 1, row and #row or 0, GROUP_BYTES do
        local g = {}
        g.state, g.losses, g.failures, g.mask, g.segment, g.timeout, g.node, g.attempt, g.due =
            unpack_(GROUP, row, at)
        if g.state > WAITING or g.mask == 0 or band(seen, g.mask) ~= 0 or not (g.due >= 0 and g.due <= NEVER) then
            damaged(t.id, 's:%s, field "%s": its group %d makes no sense', t.id, n, #groups + 1)
        end
        seen = bor(seen, g.mask)
        groups[#groups + 1] = g
    end
    return tile_new(t, n, groups, seen)
end

-- A tile of which something should be leased. If nothing is, and the index says that something is, it is damaged.
local function tile_checked(t, n)
    local tile = tile_get(t, n)
    if not tile.changed and not tile.due and call('ZSCORE', P .. 'due', t.id .. ':' .. n) then
        damaged(t.id, 's:%s, field "%s": what is leased of it is missing', t.id, n)
    end
    return tile
end

-- A tile that an index names: something of it is in that state.
local function tile_listed(t, n, state)
    local tile = tile_get(t, n)
    for _, g in ipairs(tile.groups) do
        if g.state == state then
            return tile
        end
    end
    return tile.changed and tile or damaged(t.id, 's:%s, field "%s": what it should hold is missing', t.id, n)
end

-- A set that is none begins anew; what it held ends when it is overdue.
local function node_holds(command, node, name)
    local key = P .. 'h:' .. string.format('%.0f', node)
    local ok, e = pcall(call, command, key, name)
    if not ok and call('TYPE', key).ok == 'set' then
        error(error_text(e), 0)
    elseif not ok then
        call('DEL', key)
        call(command, key, name)
    end
end

local function tile_index(tile, due, ready, nodes)
    local t, name = tile.task, tile.task.id .. ':' .. tile.n
    if due ~= tile.due then
        if due then call('ZADD', P .. 'due', due, name) else call('ZREM', P .. 'due', name) end
    end
    if ready ~= tile.ready then
        local number = string.format('%010.0f', tile.n)
        if ready then
            call('ZADD', P .. 'w:' .. t.id, ready, number)
        else
            call('ZREM', P .. 'w:' .. t.id, number)
        end
    end
    for node in pairs(nodes or {}) do
        if not (tile.nodes and tile.nodes[node]) then node_holds('SADD', node, name) end
    end
    for node in pairs(tile.nodes or {}) do
        if not (nodes and nodes[node]) then node_holds('SREM', node, name) end
    end
    tile.due, tile.ready, tile.nodes = due, ready, nodes
end

-- What is settled needs its value no longer.
local function tile_own_forget(tile, gone)
    local names = {}
    each_bit(gone, function(bit_at)
        names[#names + 1] = own_name(tile.n, bit_at)
    end)
    if #names > 0 then
        call('HDEL', P .. 'p:' .. tile.task.id, unpack(names))
    end
end

local function tile_flush(tile)
    local rows, groups, t, left = {}, {}, tile.task, 0
    for _, g in ipairs(tile.groups) do
        if g.mask ~= 0 then
            left = bor(left, g.mask)
            groups[#groups + 1] = g
            rows[#groups] = pack(GROUP, g.state, g.losses, g.failures, g.mask, g.segment, g.timeout, g.node, g.attempt,
                                 g.due)
        end
    end
    tile.groups, tile.changed = groups, nil
    tile_index(tile, tile_marks(tile))
    if #groups == 0 then
        call('HDEL', P .. 's:' .. t.id, tile.n)
        call('HDEL', P .. 'p:' .. t.id, tile.n)
    else
        call('HSET', P .. 's:' .. t.id, tile.n, table.concat(rows))
    end
    if t.own == 1 then
        tile_own_forget(tile, band(tile.seen, bnot(left)))
    end
    tile.seen = left
end

local function tiles_flush(t)
    for _, tile in pairs(t.tiles) do
        if tile.changed then
            tile_flush(tile)
        end
    end
end

-- Moves some of a group's subtasks to a group of their own.
local function group_split(tile, g, mask)
    local part = {}
    for name, value in pairs(g) do
        part[name] = value
    end
    g.mask = bxor(g.mask, mask)
    part.mask = mask
    tile.groups[#tile.groups + 1] = part
    tile.changed, tile.task.changed = true, true
    return part
end

-- ---- what to execute: pieces of {first bit, count, bytes}, lengths, bytes one after the other

local PIECE = '<BBI4'
local PIECE_BYTES = 6
local OWN = 129 -- as a count: one, whose length is here, and its bytes are a value of their own

-- A tile's pieces.
local function pieces_get(t, n)
    return call('HGET', P .. 'p:' .. t.id, n) or damaged(t.id, 'p:%s has no field "%s"', t.id, n)
end

local function own_get(t, n, bit_at, length)
    local value = call('HGET', P .. 'p:' .. t.id, own_name(n, bit_at))
    if not value or #value ~= length then
        damaged(t.id, 'p:%s, field "%s": %d bytes are not what was stored', t.id, own_name(n, bit_at), value and #value or 0)
    end
    return pack('<BBI4I4', bit_at, 1, length, length) .. value
end

-- The pieces of tile n with just the subtasks in the mask.
local function pieces_cut(t, n, value, mask)
    local out, at, all, seen = {}, 1, true, 0
    while at <= #value do
        local first, count, bytes = unpack_(PIECE, value, at)
        local is_own = count == OWN
        count = is_own and 1 or count
        local lengths, body = at + PIECE_BYTES, at + PIECE_BYTES + 4 * count
        if first + count > 32 or body + bytes > #value + 1 then
            damaged(t.id, 'p:%s, field "%s": %d bytes are no pieces', t.id, n, #value)
        end
        local piece = bits(first, count)
        at, seen = body + bytes, bor(seen, piece)
        if is_own then
            all = false
            if band(piece, mask) ~= 0 then
                out[#out + 1] = own_get(t, n, first, unpack_('<I4', value, lengths))
            end
        elseif band(piece, mask) == piece then
            out[#out + 1] = string.sub(value, lengths - PIECE_BYTES, at - 1)
        else
            all = false
            for i = 0, count - 1 do
                local length = unpack_('<I4', value, lengths + 4 * i)
                if band(mask, lshift(1, first + i)) ~= 0 then
                    out[#out + 1] = pack('<BBI4I4', first + i, 1, length, length) ..
                        string.sub(value, body, body + length - 1)
                end
                body = body + length
            end
        end
    end
    if band(seen, mask) ~= mask then
        damaged(t.id, 'p:%s, field "%s": parameters are missing', t.id, n)
    end
    return all and value or table.concat(out)
end

-- Bytes of the large ones among the parameters that were cut out.
local function pieces_large(value)
    local at, sum = 1, 0
    while at <= #value do
        local _, count, bytes = unpack_(PIECE, value, at)
        for i = 0, count - 1 do
            local length = unpack_('<I4', value, at + PIECE_BYTES + 4 * i)
            sum = sum + (length >= LARGE_PARAM and length or 0)
        end
        at = at + PIECE_BYTES + 4 * count + bytes
    end
    return sum
end

-- The lowest of the mask whose params reach `room` bytes, or all.
local function pieces_limit(value, mask, room)
    local out, at, sum = 0, 1, 0
    while at <= #value do
        local first, count, bytes = unpack_(PIECE, value, at)
        count = count == OWN and 1 or count
        for i = 0, count - 1 do
            if sum < room and band(mask, lshift(1, first + i)) ~= 0 then
                out = bor(out, lshift(1, first + i))
                sum = sum + unpack_('<I4', value, at + PIECE_BYTES + 4 * i)
            end
        end
        at = at + PIECE_BYTES + 4 * count + bytes
    end
    return out
end

-- ---- queueing

-- Subtasks as they come in arguments: count, timeout (0: one each), timeouts, lengths, the sums of the lengths
-- before each, bytes, length of the longest.
local function batch_read()
    local batch = {count = number()}
    if batch.count > 0 then
        batch.timeout, batch.timeouts, batch.lengths, batch.sums, batch.bytes, batch.longest =
            number(), text(), text(), text(), text(), number()
    end
    return batch
end

local function group_fresh(t, mask, segment, timeout)
    return {state = FRESH, losses = 0, failures = 0, mask = mask, segment = segment, timeout = timeout, node = 0,
            attempt = t.attempts, due = 0}
end

local function batch_groups(t, groups, batch, at, bit_at, count, segment)
    if batch.timeout > 0 then
        groups[#groups + 1] = group_fresh(t, bits(bit_at, count), segment, batch.timeout)
        return
    end
    for i = 0, count - 1 do
        local timeout, last = unpack_('<I4', batch.timeouts, 4 * (at + i) + 1), groups[#groups]
        if last and last.state == FRESH and last.segment == segment and last.timeout == timeout then
            last.mask = bor(last.mask, lshift(1, bit_at + i))
        else
            groups[#groups + 1] = group_fresh(t, lshift(1, bit_at + i), segment, timeout)
        end
    end
end

-- Whether a parameter may be a value of its own: the format rises when the first is stored, once all have known it for a
-- while, since programs that know format 2 take such a tile for damaged.
local function own_begin()
    if call('HGET', P .. 'meta', 'format') == FORMAT then
        return true
    end
    local is_alone, since = format_alone()
    if not (is_alone and since and microseconds() / 1000 - since >= FORMAT_MS) then
        return false
    end
    call('HSET', P .. 'meta', 'format', FORMAT)
    return true
end

-- The piece of `count` of a batch's subtasks, from number `at` on; from, to: their bytes.
local function piece_small(batch, at, bit_at, count, from, to)
    return pack(PIECE, bit_at, count, to - from) .. string.sub(batch.lengths, 4 * at + 1, 4 * (at + count)) ..
        string.sub(batch.bytes, from + 1, to)
end

-- The same where some are large, one by one.
local function pieces_own(t, n, batch, at, bit_at, count)
    local out = {}
    for i = 0, count - 1 do
        local from, to = unpack_('<I4', batch.sums, 4 * (at + i) + 1), unpack_('<I4', batch.sums, 4 * (at + i) + 5)
        if to - from < LARGE_PARAM then
            out[#out + 1] = piece_small(batch, at + i, bit_at + i, 1, from, to)
        else
            out[#out + 1] = pack('<BBI4I4', bit_at + i, OWN, 0, to - from)
            call('HSET', P .. 'p:' .. t.id, own_name(n, bit_at + i), string.sub(batch.bytes, from + 1, to))
        end
    end
    t.own = 1
    return table.concat(out)
end

local function batch_large(batch, first, last)
    local sum = 0
    for i = first, last - 1 do
        local length = unpack_('<I4', batch.lengths, 4 * i + 1)
        sum = sum + (length >= LARGE_PARAM and length or 0)
    end
    return sum
end

-- Queues a batch from its subtask `first` up to `last` (the first is 0, the last is not included) at the end, as
-- part of segment n.
local function task_append(t, batch, first, last, n)
    local at, seq = first, t.generated
    local has_large = first < last and batch.longest >= LARGE_PARAM
    local own = has_large and own_begin()
    t.bytes = t.bytes + (has_large and batch_large(batch, first, last) or 0)
    while at < last do
        local number, bit_at = math.floor(seq / 32), seq % 32
        local count = math.min(32 - bit_at, last - at)
        local from, to = unpack_('<I4', batch.sums, 4 * at + 1), unpack_('<I4', batch.sums, 4 * (at + count) + 1)
        local piece = own and pieces_own(t, number, batch, at, bit_at, count) or
            piece_small(batch, at, bit_at, count, from, to)
        local tile = bit_at == 0 and tile_new(t, number, {}, 0) or tile_get(t, number)
        if #tile.groups > 0 then
            piece = pieces_get(t, number) .. piece
        end
        batch_groups(t, tile.groups, batch, at, bit_at, count, n)
        call('HSET', P .. 'p:' .. t.id, number, piece)
        tile.changed = true
        at, seq = at + count, seq + count
    end
    local added = last - first
    local segment = segment_get(t, n)
    segment.open, segment.generated = segment.open + added, segment.generated + added
    t.generated, t.queued = t.generated + added, t.queued + added
    t.changed = true
end

-- ---- nodes: who they are

-- Whether a number is still that of this registration; '0': the caller knows of none.
local sessions = {}

local function node_is(node, session)
    if session == '0' then
        return true
    end
    if sessions[node] == nil then
        local ok, known = pcall(call, 'HGET', P .. 'n:' .. string.format('%.0f', node), 'session')
        sessions[node] = ok and known
    end
    return sessions[node] == session
end

-- Whether a group is leased to a node; 0: to anybody.
local function group_is_of(g, node, session)
    return node == 0 or (g.node == node and node_is(node, session))
end

local NODE = {'name', 'host', 'types', 'pid', 'slots', 'running', 'settled', 'session'}
local NODE_MAX = {pid = U32_MAX, slots = U32_MAX, running = NEVER, settled = NEVER, session = 2 ^ 64}

-- The fields of a node in that order; or nil, and what is wrong: the node must register again then.
local function node_fields(id)
    local key = P .. 'n:' .. id
    local ok, row = pcall(call, 'HMGET', key, unpack(NODE))
    if not ok then
        return nil, key .. ' is no hash'
    end
    for i, field in ipairs(NODE) do
        if not row[i] then
            return nil, string.format('%s has no field "%s"', key, field)
        elseif NODE_MAX[field] and not (string.match(row[i], '^%d+$') and whole(row[i], NODE_MAX[field]) and
                                        (#row[i] < 20 or row[i] <= '18446744073709551615')) then
            return nil, string.format('%s, field "%s" is "%s"', key, field, string.sub(row[i], 1, 40))
        end
    end
    return row
end

local NOTE = {'usable', 'short_of', 'quarantine'}

-- A node as it is told: id, until, name, host, types, pid, slots, running, settled, session; what node_note has kept.
local function node_row(id, until_ms)
    local row, wrong = node_fields(id)
    if not row then
        return nil, wrong
    end
    local slots, note = row[5], call('HMGET', P .. 'n:' .. id, unpack(NOTE))
    table.insert(row, 1, string.format('%.0f', whole(until_ms) or 0))
    table.insert(row, 1, id)
    local usable = note[1] and string.match(note[1], '^%d+$') and whole(note[1], U32_MAX)
    row[11] = note[2] and note[2] ~= '' and usable and note[1] or slots
    row[12], row[13] = note[2] or '', note[3] or ''
    return row
end

-- The names of the tiles of which a node holds something.
local function node_tiles(node)
    local key = P .. 'h:' .. string.format('%.0f', node)
    local ok, names = pcall(call, 'SMEMBERS', key)
    if not ok then
        call('DEL', key)
    end
    return ok and names or {}
end

-- After done(): a number that is nobody's any more.
local function node_forget(node)
    local name = string.format('%.0f', node)
    local _, session = pcall(call, 'HGET', P .. 'n:' .. name, 'session')
    if type(session) == 'string' and call('HGET', P .. 'sessions', session) == name then
        call('HDEL', P .. 'sessions', session)
    end
    call('ZREM', P .. 'nodes', name)
    call('ZREM', P .. 'nodes_past', name)
    call('UNLINK', P .. 'n:' .. name, P .. 'h:' .. name)
end

-- ---- nodes: counting what they hold

local nodes, recounted = {}, {}

local function node_count(node, running, settled)
    local n = nodes[node]
    if not n then
        n = {running = 0, settled = 0}
        nodes[node] = n
    end
    n.running, n.settled = n.running + running, n.settled + settled
end

-- Leases that it was given in this call.
local function node_counted(node)
    return nodes[node] and nodes[node].running or 0
end

-- What cannot be counted makes the node register again when it is given something (node_fields).
local function nodes_flush()
    for node, running in pairs(recounted) do
        pcall(call, 'HSET', P .. 'n:' .. node, 'running', running)
    end
    for node, n in pairs(nodes) do
        if (n.running ~= 0 or n.settled ~= 0) and call('ZSCORE', P .. 'nodes', node) then
            pcall(call, 'HINCRBY', P .. 'n:' .. node, 'running', n.running)
            pcall(call, 'HINCRBY', P .. 'n:' .. node, 'settled', n.settled)
        end
    end
end

-- ---- leased subtasks that come back

-- Puts leased subtasks of a group back, to be ready at `ready`; of a task that is stopping, they are cancelled.
local function group_return(tile, g, mask, ready, redispatched)
    local t, count = tile.task, count_bits(mask)
    local segment = segment_get(t, g.segment)
    node_count(g.node, -count, 0)
    t.running = t.running - count
    local part = group_split(tile, g, mask)
    if not is_live(t) then
        t.cancelled, segment.cancelled = t.cancelled + count, segment.cancelled + count
        segment.open = segment.open - count
        part.mask = 0
        return
    end
    t.queued = t.queued + count
    part.state, part.node, part.due = WAITING, 0, ready
    if redispatched then
        t.redispatched, segment.redispatched = t.redispatched + count, segment.redispatched + count
    end
end

-- ---- what a node says it has: count; each: task, tile, attempt, mask

local function holding_read()
    local held = {keys = {}, masks = {}, has = {}, kept = {}, stops = {}}
    for i = 1, number() do
        local key, mask = text() .. ':' .. text() .. ':' .. text(), number()
        held.keys[i], held.masks[i] = key, mask
        held.has[key] = bor(held.has[key] or 0, mask)
    end
    return held
end

-- What is leased to `node` and held becomes the heir's; what is not held goes back to the queue.
local function holding_take_tile(held, node, heir, t, tile)
    local keeps = 0
    for i = 1, #tile.groups do
        local g = tile.groups[i]
        local key = t.id .. ':' .. tile.n .. ':' .. string.format('%.0f', g.attempt)
        local has = (g.state == LEASED and g.node == node) and band(g.mask, held.has[key] or 0) or 0
        if g.state == LEASED and g.node == node and has ~= g.mask then
            group_return(tile, g, bxor(g.mask, has), 0, true)
        end
        if has ~= 0 then
            local count = count_bits(has)
            held.kept[key] = bor(held.kept[key] or 0, has)
            held.stops[t.id] = t.phase == STOPPING or nil
            keeps = keeps + count
            if heir ~= node then
                node_count(node, -count, 0)
                node_count(heir, count, 0)
                g.node, tile.changed, t.changed = heir, true, true
            end
        end
    end
    return keeps
end

-- This is all that it holds here, so its leases are counted anew.
local function holding_take(held, node, heir)
    local keeps = 0
    for _, name in ipairs(node_tiles(node)) do
        local id, n = string.match(name, '^(%d+):(%d+)$')
        local t = id and guard(id, task_find, id)
        local tile = t and guard(id, tile_checked, t, tonumber(n))
        if tile and tile.nodes and tile.nodes[node] then
            keeps = keeps + (guard(id, holding_take_tile, held, node, heir, t, tile) or 0)
        elseif not (tile and tile.changed) then -- of a task, or a tile, that was damaged
            node_holds('SREM', node, name)
        end
    end
    if heir == node then
        node_count(node, 0, 0)
        nodes[node].running, recounted[node] = 0, keeps
    end
end

-- For each entry the mask of what is the node's; the tasks of that that are stopping.
local function holding_answer(held)
    local masks, stops = {}, {}
    for i, key in ipairs(held.keys) do
        masks[i] = band(held.masks[i], held.kept[key] or 0)
    end
    for id in pairs(held.stops) do
        stops[#stops + 1] = id
    end
    return masks, stops
end

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
    local ms = t.backoff > 0 and t.backoff or 100
    return math.min(60000, ms * 2 ^ failures)
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

-- ---- views

-- What waits and is due, of the first tiles by time; when the next will be.
local function retries_count(t)
    local ready, next_retry = 0, -1
    local waiting = call('ZRANGE', P .. 'w:' .. t.id, 0, READY_TILES - 1)
    if #waiting == 0 then
        damaged(t.id, 'w:%s is missing, %.0f subtasks wait', t.id, t.queued - fresh(t))
    end
    for _, n in ipairs(waiting) do
        local tile = tile_listed(t, tonumber(n), WAITING)
        for _, g in ipairs(tile.groups) do
            if g.state == WAITING and g.due <= NOW then
                ready = ready + count_bits(g.mask)
            elseif g.state == WAITING and (next_retry < 0 or g.due < next_retry) then
                next_retry = g.due
            end
        end
        if tile.ready and tile.ready > NOW then
            break
        end
    end
    return ready, next_retry
end

-- Hints and view of a task, each field ended by a zero byte.
local function task_view(t)
    local ready, retries, next_retry = 0, 0, -1
    if is_live(t) and t.paused == 0 and not results_full(t) then
        ready = fresh(t)
        if t.queued > ready then
            retries, next_retry = retries_count(t)
        end
    end
    return table.concat({t.hints, t.id, string.format('%.0f', t.version), t.group, t.type, t.priority, ready + retries,
                         next_retry, t.running, t.max_running, t.used_count, string.format('%.0f', t.used_us), ''}, '\0')
end

-- ---- the end of a script

local function task_flush(t)
    t.bytes = fresh(t) > 0 and t.bytes or 0
    task_advance(t)
    if t.phase ~= t.phase_before and t.phase >= CLOSING then
        t.hints = bor(t.hints, t.phase == CLOSING and HINT_CLOSING or HINT_CLOSED)
        if t.phase_before < CLOSING then
            task_clear(t)
        end
    end
    if t.phase ~= GENERATING then
        t.owner = '0'
    elseif t.paused == 0 and not t.low_before and queue_low(t) then
        claim_free(t)
    end
    t.version = t.version + 1
    t.hints = bor(t.hints, HINT_VIEW)
    if t.phase < CLOSING then
        segments_flush(t)
    end
    task_place(t)
    task_write(t)
end

local function done(...)
    local hints = {}
    for _, t in ipairs(touched) do
        hints[#hints + 1] = not t.ruined and guard(t.id, function()
            tiles_flush(t)
            if t.changed then
                task_flush(t)
            end
            return t.hints > 0 and task_view(t) or ''
        end) or ''
    end
    nodes_flush()
    local told = table.concat(hints)
    if #told > 0 then
        call(PUBLISH, KEYS[1] .. ':hints', ARGV[1] .. '\0' .. told)
    end
    return {0, told, ...}
end

-- Calls a script's body. One task that it is about and that is damaged is taken out of the state: the script answers as
-- if it had not been there.
local function run(main)
    local ok, answer = pcall(main)
    if ok then
        return answer
    end
    local text = error_text(answer)
    local id, what = damage_of(text, subject)
    if not id then
        return {err = string.match(text, '^%u+ ') and text or 'ERR ' .. text}
    end
    task_ruin(id, what)
    return fail(NOT_FOUND, 'task %s is not under way: what was here of it is damaged: %s', id, what)
end
