-- SPDX-License-Identifier: Apache-2.0
-- admit.lua: adds tasks that are not there yet.
-- arguments: count; each: id, type, group, priority, deadline, max_retries, backoff, tolerated, max_running, keep, fed,
--   closing, param, generated, succeeded, failed, timed_out, cancelled, retried, redispatched, made, whether there is a
--   checkpoint, checkpoint, 1 if it was admitted before, when it was born (0: not known)
-- returns: nothing
local last_task = meta_number('last_task')

local function read()
    local t = {id = text(), type = text(), group = text()}
    for _, name in ipairs(FIXED) do
        t[name] = number()
    end
    local param = text()
    for _, name in ipairs(MOVING) do
        t[name] = 0
    end
    for _, name in ipairs(COUNTERS) do
        t[name] = number()
    end
    t.made = number()
    t.has_checkpoint, t.saved, t.again, t.born = number(), text(), number(), text()
    return t, param
end

local function admit(t, param)
    local has_checkpoint, checkpoint, again, born = t.has_checkpoint, t.saved, t.again, t.born
    local other = task_find(t.id)
    if other then
        local its = call('HGET', P .. 't:' .. t.id, 'born')
        if its and its ~= '0' and born ~= '0' and its ~= born and other.phase < CLOSED then
            task_stop(other, OUTCOME_DROPPED, 'another task has its number')
        end
        return
    end
    if call('ZREM', P .. 'gone', t.id) == 1 then
        call('UNLINK', P .. 'r:' .. t.id)
        call('HDEL', P .. 'gone_read', t.id)
    end
    local damage = call('HGET', P .. 'damaged', t.id)
    t.attempts = ATTEMPTS_ANEW * (damage and whole(string.match(damage, '^%d+')) or 0)
    t.phase, t.owner, t.cursor, t.percent = GENERATING, '0', t.generated + 1, -1
    t.epoch = meta_number('epoch')
    t.version = microseconds() -- no version comes again, whatever the store has lost
    t.results = again == 1 and t.version or 0
    t.results_read = t.results
    t.bytes, t.own = 0, 0
    t.segment, t.base = 1, 1 -- the base is a segment that is settled
    task_enter(t)
    t.claim_before, t.changed = nil, true
    if t.fed == 0 then
        t.hints = HINT_GENERATE
    end
    local base = {open = 0, made = t.made, checkpoint = has_checkpoint, percent = -1, since = NOW}
    for _, name in ipairs(COUNTERS) do
        base[name] = t[name]
    end
    segment_write(t, 'base', base)
    if has_checkpoint == 1 then
        t.checkpoint, t.base_checkpoint = 1, 1
        call('HSET', P .. 'c:' .. t.id, 1, checkpoint)
    end
    local fixed = numbers_write(FIXED, t)
    call('HSET', P .. 't:' .. t.id, 'type', t.type, 'group', t.group, 'param', param, 'fixed', fixed, 'born', born,
         'sum', task_sum(t.type, t.group, fixed), 'param_sum', redis.sha1hex(param), 'attempts', t.attempts)
    call('ZADD', P .. 'phase:1', t.id, t.id)
    last_task = math.max(last_task, tonumber(t.id))
    call('ZADD', P .. 'deadlines', t.deadline, t.id)
end

for _ = 1, number() do
    local t, param = read()
    guard(t.id, admit, t, param)
end
call('HSET', P .. 'meta', 'last_task', string.format('%.0f', last_task))
return done()
