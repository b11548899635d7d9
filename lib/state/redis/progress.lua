-- SPDX-License-Identifier: Apache-2.0
-- progress.lua: how tasks are doing.
-- arguments: count, ids
-- returns: for each, nil or {phase, paused, outcome, message or nil, deadline, type, percent, counters: generated,
--   succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued, done}
local ANSWER = {'phase', 'paused', 'outcome', 'message', 'deadline', 'type', 'percent', 'generated', 'succeeded', 'failed',
                'timed_out', 'cancelled', 'retried', 'redispatched', 'running', 'queued', 'done'}
local rows = {}
for i = 1, number() do
    local t, row = task_find(text()), {}
    for k, name in ipairs(ANSWER) do
        local value = t and t[name]
        row[k] = type(value) == 'number' and string.format('%.0f', value) or value or false
    end
    rows[i] = t and row or false
end
return done(rows)
