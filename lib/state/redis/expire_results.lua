-- SPDX-License-Identifier: Apache-2.0
-- expire_results.lua: forgets the results of removed tasks that nobody read in time, and those that were read
-- to their end before it ran the last time.
-- arguments: the date
-- returns: nothing
local date = text()
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'gone', '-inf', '(' .. READ_OUT)) do
    call('HDEL', P .. 'gone_read', id)
    call('ZREM', P .. 'gone', id)
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'gone', READ_OUT, READ_OUT)) do
    call('ZADD', P .. 'gone', READ_OUT - 1, id)
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'gone', 0, date)) do
    call('UNLINK', P .. 'r:' .. id)
    call('HDEL', P .. 'gone_read', id)
    call('ZREM', P .. 'gone', id)
end
return done()
