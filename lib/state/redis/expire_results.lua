-- SPDX-License-Identifier: Apache-2.0
-- expire_results.lua: forgets the results of removed tasks that nobody read in time, and those that were read
-- to their end before it ran the last time: in stages, since what was read to its end is forgotten the next time.
-- arguments: the date; stage: 0, 1, 2
-- returns: whether there may be more of this stage
local date, stage, count = text(), number(), 0
local function some(from, to)
    local ids = call('ZRANGEBYSCORE', P .. 'gone', from, to, 'LIMIT', 0, SOME)
    count = #ids
    return ipairs(ids)
end
if stage == 0 then
    for _, id in some('-inf', '(' .. READ_OUT) do
        call('HDEL', P .. 'gone_read', id)
        call('ZREM', P .. 'gone', id)
    end
elseif stage == 1 then
    for _, id in some(READ_OUT, READ_OUT) do
        call('ZADD', P .. 'gone', READ_OUT - 1, id)
    end
else
    for _, id in some(0, date) do
        call('UNLINK', P .. 'r:' .. id)
        call('HDEL', P .. 'gone_read', id)
        call('ZREM', P .. 'gone', id)
    end
end
return done(count == SOME and 1 or 0)
