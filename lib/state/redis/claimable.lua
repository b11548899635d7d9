-- SPDX-License-Identifier: Apache-2.0
-- claimable.lua: how urgent those tasks are that claim would give, so that of several shards the most urgent go first.
-- arguments: max
-- returns: for each the priority, or 0 (somebody's claim has run out), in claim's order; FAILED_PRECONDITION: not verified
if not is_verified() then
    return fail(FAILED_PRECONDITION, UNVERIFIED)
end
local scores = {}
for i, id in ipairs(run_out(P .. 'claims', number())) do
    scores[i] = math.max(0, -tonumber(call('ZSCORE', P .. 'claims', id)))
end
return done(scores)
