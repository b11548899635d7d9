-- SPDX-License-Identifier: Apache-2.0
-- release_claim.lua: gives a task back.
-- arguments: task, fence
-- returns: nothing
local t, fence = task_find(text()), number()
if t and t.owner ~= '0' and t.fence == fence then
    t.changed, t.owner = true, '0'
    if t.paused == 0 and fresh(t) < QUEUE_HIGH then
        t.hints = HINT_GENERATE
    end
end
return done()
