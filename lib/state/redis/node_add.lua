-- SPDX-License-Identifier: Apache-2.0
-- node_add.lua: registers a node.
-- arguments: id (0: the shard's next), name, host, types, pid, slots, until
-- returns: id
local id, name, host, types, pid, slots, until_ms = number(), text(), text(), text(), text(), text(), number()
if id == 0 then
    id = call('INCR', P .. 'last_node')
end
call('HSET', P .. 'n:' .. id, 'name', name, 'host', host, 'types', types, 'pid', pid, 'slots', slots, 'running', 0,
     'settled', 0)
call('ZADD', P .. 'nodes', until_ms, id)
return done(id)
