-- SPDX-License-Identifier: Apache-2.0
-- pause.lua: no dispatch, no generation; or again.
-- arguments: task, 1 or 0
-- returns: nothing; NOT_FOUND
local id, paused = text(), number()
local t = task_find(id)
if not t then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
if t.paused ~= paused then
    t.changed, t.paused = true, paused
    if t.phase == GENERATING and t.fed == 0 and (paused == 0 or t.owner ~= '0') then
        claim_free(t)
    end
end
return done()
