-- SPDX-License-Identifier: Apache-2.0
-- progress.lua: how tasks are doing.
-- arguments: count, ids
-- returns: for each, nil, or, of one that was taken out as damaged, {how often it was, what}, or {phase, paused, outcome, message or nil, deadline, type, percent, counters: generated,
--   succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued, done; born; of its point: made,
--   settled}
local ANSWER = {'phase', 'paused', 'outcome', 'message', 'deadline', 'type', 'percent', 'generated', 'succeeded', 'failed',
                'timed_out', 'cancelled', 'retried', 'redispatched', 'running', 'queued', 'done'}
local rows = {}

local function progress(id)
    local t, row = task_find(id), {}
    for k, name in ipairs(ANSWER) do
        local value = t and t[name]
        row[k] = type(value) == 'number' and string.format('%.0f', value) or value or false
    end
    if t then
        local base = t.phase < CLOSING and segment_load(t, 'base') or {}
        row[#row + 1] = string.format('%.0f', whole(call('HGET', P .. 't:' .. t.id, 'born')) or 0)
        row[#row + 1] = string.format('%.0f', base.made or 0)
        row[#row + 1] = string.format('%.0f', (base.succeeded or 0) + (base.failed or 0) + (base.timed_out or 0) +
                                      (base.cancelled or 0))
    end
    return t and row
end

for i = 1, number() do
    local id = text()
    rows[i] = guard(id, progress, id) or false
    if not rows[i] then
        local times, what = string.match(call('HGET', P .. 'damaged', id) or '', '^(%d+) (.*)$')
        rows[i] = times and {times, what} or false
    end
end
return done(rows)
