-- SPDX-License-Identifier: Apache-2.0
-- expire_results.lua: forgets the results of removed tasks that nobody read in time.
-- arguments: the date
-- returns: nothing
local date = text()
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'gone', '-inf', date)) do
    call('UNLINK', P .. 'r:' .. id)
    call('HDEL', P .. 'gone_read', id)
    call('ZREM', P .. 'gone', id)
end
return done()
