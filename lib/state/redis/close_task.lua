-- SPDX-License-Identifier: Apache-2.0
-- close_task.lua: closing becomes closed.
-- arguments: task, whether it failed, why
-- returns: nothing; NOT_FOUND, FAILED_PRECONDITION
local id, failed, failure = text(), number(), text()
local t = task_find(id)
if not t then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
if t.phase < CLOSING then
    return fail(FAILED_PRECONDITION, 'task %s is still %s', id, PHASES[t.phase])
end
make_room()
if t.phase == CLOSING then
    t.changed, t.phase = true, CLOSED
    if failed == 1 then
        t.outcome, t.message = OUTCOME_FAILED, failure
    end
end
return done()
