-- SPDX-License-Identifier: Apache-2.0
-- hold.lua: gives the taker of closing tasks more time.
-- arguments: until, count, ids
-- returns: nothing
local until_ms = number()
for _ = 1, number() do
    call('ZADD', P .. 'taken:4', 'XX', 'GT', until_ms, text())
end
return done()
