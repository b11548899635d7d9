-- SPDX-License-Identifier: Apache-2.0
-- hello.lua: the first words on a connection: whose shard this is, and whether the server is still the same.
-- arguments: shard's number of how many, server's run id
-- returns: the epoch: another number after every start of the server, and after it was wiped;
--   FAILED_PRECONDITION: this server holds another shard
local shard, run_id = text(), text()
local held = call('GET', 'dtf:shard') -- the one key without the shard's prefix
local row = call('HMGET', P .. 'meta', 'run_id', 'epoch', 'format')
if held and held ~= shard then
    return fail(FAILED_PRECONDITION, 'this Redis holds shard %s, and is named as shard %s', held, shard)
end
if row[3] and row[3] ~= '1' then
    return fail(FAILED_PRECONDITION, 'the data in this Redis has format %s, this program knows format 1', row[3])
end
local epoch = row[1] == run_id and row[2] or string.format('%.0f', microseconds())
if not held then
    call('SET', 'dtf:shard', shard)
end
if epoch ~= row[2] then
    call('HSET', P .. 'meta', 'run_id', run_id, 'epoch', epoch, 'format', 1)
end
return done(epoch)
