-- SPDX-License-Identifier: Apache-2.0
-- node_grace.lua: all nodes get at least until then.
-- arguments: until
-- returns: whether there may be more
local until_ms, count = number(), 0
for _, key in ipairs({'nodes', 'nodes_past'}) do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. key, '-inf', '(' .. ARGV[3], 'LIMIT', 0, SOME - count)) do
        call('ZADD', P .. key, until_ms, id)
        count = count + 1
    end
end
return done(count == SOME and 1 or 0)
