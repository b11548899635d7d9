-- SPDX-License-Identifier: Apache-2.0
-- node_renew.lua: extends nodes' leases.
-- arguments: until, count, ids
-- returns: ids that are not registered
local until_ms, lost = number(), {}
for _ = 1, number() do
    local id = text()
    if call('ZSCORE', P .. 'nodes', id) then
        call('ZADD', P .. 'nodes', 'GT', until_ms, id)
    else
        lost[#lost + 1] = id
    end
end
return done(lost)
