-- SPDX-License-Identifier: Apache-2.0
-- progress.lua: how tasks are doing.
-- arguments: count, ids
-- returns: for each, nil or {phase, paused, outcome, message or nil, deadline, type, percent, counters: generated,
--   succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued, done}
local rows = {}
for i = 1, number() do
    local row = call('HMGET', P .. 't:' .. text(), 'phase', 'paused', 'outcome', 'message', 'deadline', 'type',
                     'percent', 'generated', 'succeeded', 'failed', 'timed_out', 'cancelled', 'retried', 'redispatched', 'running',
                     'queued', 'done')
    rows[i] = row[1] and row
end
return done(rows)
