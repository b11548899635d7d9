-- SPDX-License-Identifier: Apache-2.0
-- renew_claims.lua: extends an owner's claims.
-- arguments: owner, until, count, ids
-- returns: nothing
local owner, until_ms = text(), number()
local function renew(id)
    local t = task_find(id)
    if t and t.owner == owner and owner ~= '0' and until_ms > t.owner_until then
        t.changed, t.owner_until = true, until_ms
    end
end
for _ = 1, number() do
    local id = text()
    guard(id, renew, id)
end
return done()
