-- SPDX-License-Identifier: Apache-2.0
-- lead.lua: makes the caller the one that does a duty, if nobody else does.
-- arguments: duty, owner, until
-- returns: 1 if it is
local duty, owner, until_ms = text(), text(), number()
local row = call('HGET', P .. 'leads', duty)
local who, lease = string.match(row or '', '^(%d+) (%d+)$')
if who and who ~= owner and tonumber(lease) > NOW and tonumber(lease) < NOW + 2 * LEASE_MAX_MS then
    return done(0)
end
call('HSET', P .. 'leads', duty, owner .. ' ' .. string.format('%.0f', until_ms))
return done(1)
