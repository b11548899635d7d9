-- SPDX-License-Identifier: Apache-2.0
-- claim.lua: gives an owner tasks to generate.
-- arguments: owner, until, max
-- returns: for each {task, fence, made, fresh, deadline, param, checkpoint or nil}; FAILED_PRECONDITION: not verified
if not is_verified() then
    return fail(FAILED_PRECONDITION, UNVERIFIED)
end
local owner, until_ms, max, rows = text(), number(), number(), {}
local floor = microseconds() -- fences rise even if the store has lost the last one
for _, id in ipairs(run_out(P .. 'claims', max)) do
    local t = task_find(id)
    t.changed, t.owner, t.owner_until, t.fence = true, owner, until_ms, math.max(t.fence + 1, floor)
    rows[#rows + 1] = {id, string.format('%.0f', t.fence), string.format('%.0f', t.made), fresh(t),
                       string.format('%.0f', t.deadline), call('HGET', P .. 't:' .. id, 'param'),
                       t.checkpoint > 0 and call('HGET', P .. 'c:' .. id, t.checkpoint)}
end
return done(rows)
