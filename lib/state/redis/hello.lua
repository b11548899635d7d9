-- SPDX-License-Identifier: Apache-2.0
-- hello.lua: the first words on a connection: whose shard this is, and whether the server is still the same.
--
-- A server that has started since, or that was made the master, may be older than what it told before: it begins anew.
-- Numbers of nodes from before are void (nodes_past) until their nodes have registered again, and nothing is leased
-- until the state was compared with the records.
-- arguments: its place (shard of how many, or server of how many and all shards), what the server is (another text after every start and promotion), installation
--   (0: not known)
-- returns: the epoch: another number after every start and promotion, and after a wipe; FAILED_PRECONDITION: this server
--   holds another shard, or another installation's state
local shard, run_id, installation = text(), text(), text()
local place = IS_CLUSTER and P .. 'shard' or 'dtf:shard' -- the one key without the shard's prefix
local held = call('GET', place)
local row = call('HMGET', P .. 'meta', 'run_id', 'epoch', 'format', 'installation')
if held and held ~= shard then
    return fail(FAILED_PRECONDITION, 'this Redis holds shard %s, and is named as shard %s', held, shard)
end
local format = whole(row[3] or 0)
if not format or format > tonumber(FORMAT) then
    return fail(FAILED_PRECONDITION, 'the data in this Redis has format %s, this program knows format %s', row[3], FORMAT)
end
if row[4] and installation ~= '0' and row[4] ~= installation then
    return fail(FAILED_PRECONDITION, 'this holds the state of installation %s, the records are of installation %s: ' ..
                'name those that belong together (an empty MySQL database is an installation of its own); to give ' ..
                'this state up, empty the Redis (FLUSHDB)', row[4], installation)
end
if not held then
    call('SET', place, shard)
end
if not row[4] and installation ~= '0' then
    call('HSET', P .. 'meta', 'installation', installation)
end
if row[1] == run_id and format >= 2 then
    return done(row[2])
end
local epoch = string.format('%.0f', math.max(microseconds(), (whole(row[2]) or 0) + 1))
call('HSET', P .. 'meta', 'run_id', run_id, 'epoch', epoch, 'format', math.max(format, 2))
call('ZUNIONSTORE', P .. 'nodes_past', 2, P .. 'nodes_past', P .. 'nodes', 'AGGREGATE', 'MAX')
call('DEL', P .. 'nodes')
-- Numbers of the reserve may have been given since.
call('HSET', P .. 'meta', 'last_node', string.format('%.0f', math.max(meta_number('last_node'), meta_number('node_reserve'))))
call('HDEL', P .. 'meta', 'node_reserve')
return done(epoch)
