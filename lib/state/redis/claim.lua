-- SPDX-License-Identifier: Apache-2.0
-- claim.lua: gives an owner tasks to generate.
-- arguments: owner, until, max
-- returns: for each {task, fence, made, fresh, bytes of the large ones of these, deadline, whether it is due, param,
--   checkpoint or nil}; FAILED_PRECONDITION: not verified
if not is_verified() then
    return fail(FAILED_PRECONDITION, UNVERIFIED)
end
local owner, until_ms, max, rows = text(), number(), number(), {}
local floor = microseconds() -- fences rise even if the store has lost the last one
local function claim(id)
    local t = task_listed(id)
    local row = call('HMGET', P .. 't:' .. id, 'param', 'param_sum')
    if not row[1] or (row[2] and row[2] ~= redis.sha1hex(row[1])) then
        damaged(id, 't:%s, field "param" is not what was stored', id)
    end
    local is_due = (t.owner ~= '0' or t.owner_until > 0) and 1 or 0
    t.changed, t.owner, t.owner_until, t.fence = true, owner, until_ms, math.max(t.fence + 1, floor)
    rows[#rows + 1] = {id, string.format('%.0f', t.fence), string.format('%.0f', t.made), fresh(t),
                       string.format('%.0f', t.bytes), string.format('%.0f', t.deadline), is_due, row[1],
                       t.checkpoint > 0 and checkpoint_load(t, t.checkpoint)}
end
for _, id in ipairs(run_out(P .. 'claims', max)) do
    guard(id, claim, id)
end
return done(rows)
