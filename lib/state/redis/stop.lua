-- SPDX-License-Identifier: Apache-2.0
-- stop.lua: ends a task early.
-- arguments: task, outcome, whether there is a message, message
-- returns: nothing; NOT_FOUND
local id, outcome, has_message, message = text(), number(), number(), text()
local t = task_find(id)
if not t then
    call('ZREM', P .. 'deadlines', id)
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
make_room()
if is_live(t) or (outcome == OUTCOME_DROPPED and t.phase == STOPPING) then
    task_stop(t, outcome, has_message == 1 and message or nil)
elseif outcome == OUTCOME_DROPPED then -- closing or closed: no callback, nothing kept
    t.changed, t.phase, t.outcome = true, CLOSED, outcome
end
return done()
