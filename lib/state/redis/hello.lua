-- SPDX-License-Identifier: Apache-2.0
-- hello.lua: the first words on a connection: whose shard this is, and whether the server is still the same.
-- arguments: shard's number of how many, server's run id
-- returns: the epoch: another number after every start of the server, and after it was wiped;
--   FAILED_PRECONDITION: this server holds another shard
local shard, run_id = text(), text()
local row = call('HMGET', P .. 'meta', 'shard', 'run_id', 'epoch', 'format')
if row[1] and row[1] ~= shard then
    return fail(FAILED_PRECONDITION, 'this Redis holds shard %s, and is named as shard %s', row[1], shard)
end
if row[4] and row[4] ~= '1' then
    return fail(FAILED_PRECONDITION, 'the data in this Redis has format %s, this program knows format 1', row[4])
end
local clock = call('TIME')
local epoch = row[2] == run_id and row[3] or string.format('%.0f', tonumber(clock[1]) * 1000000 + tonumber(clock[2]))
if epoch ~= row[3] then
    call('HSET', P .. 'meta', 'shard', shard, 'run_id', run_id, 'epoch', epoch, 'format', 1)
end
return done(epoch, clock)
