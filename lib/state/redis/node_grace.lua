-- SPDX-License-Identifier: Apache-2.0
-- node_grace.lua: all nodes get at least until then.
-- arguments: until
-- returns: nothing
local until_ms = number()
for _, key in ipairs({'nodes', 'nodes_past'}) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. key, '-inf', '(' .. ARGV[3])) do
        call('ZADD', P .. key, until_ms, id)
    end
end
return done()
