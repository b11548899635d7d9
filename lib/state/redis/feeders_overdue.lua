-- SPDX-License-Identifier: Apache-2.0
-- feeders_overdue.lua: the tasks whose feeders were not heard of for their lease.
-- arguments: now, how many
-- returns: id, lease, id, lease ...
local now_ms, max, out = number(), number(), {}
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'feeders', '-inf', now_ms, 'LIMIT', 0, max)) do
    out[#out + 1] = id
    out[#out + 1] = string.format('%.0f', whole(call('HGET', P .. 'feeder_lease', id)) or 0)
end
return done(out)
