-- SPDX-License-Identifier: Apache-2.0
-- node_grace.lua: all nodes get at least until then.
-- arguments: until
-- returns: nothing
local until_ms = number()
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'nodes', '-inf', '(' .. ARGV[3])) do
    call('ZADD', P .. 'nodes', until_ms, id)
end
return done()
