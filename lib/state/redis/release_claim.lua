-- SPDX-License-Identifier: Apache-2.0
-- release_claim.lua: gives a task back.
-- arguments: task, fence, time before which nobody may claim it (0: any)
-- returns: nothing
local t, fence, not_before = task_find(text()), number(), number()
if t and t.owner ~= '0' and t.fence == fence then
    t.changed, t.owner, t.owner_until = true, '0', not_before
    if not_before == 0 and t.paused == 0 and not queue_full(t) then
        t.hints = HINT_GENERATE
    end
end
return done()
