-- SPDX-License-Identifier: Apache-2.0
-- node_renew.lua: extends nodes' leases.
-- arguments: count; each: id, until, whether exactly then, even if that is earlier
-- returns: ids that are not registered, or are under a session that is not theirs: results of theirs would be stale
local lost = {}

local function is_well(id)
    local ok, session = pcall(call, 'HGET', P .. 'n:' .. id, 'session')
    return ok and session and (session == '0' or call('HGET', P .. 'sessions', session) == id)
end

for _ = 1, number() do
    local id, until_ms, exactly = text(), number(), number()
    if call('ZSCORE', P .. 'nodes', id) and is_well(id) then
        if exactly == 1 then
            call('ZADD', P .. 'nodes', until_ms, id)
        else
            call('ZADD', P .. 'nodes', 'GT', until_ms, id)
        end
    else
        lost[#lost + 1] = id
    end
end
return done(lost)
