-- SPDX-License-Identifier: Apache-2.0
-- check.lua: tries a write.
-- arguments: none
-- returns: nothing
call('HSET', P .. 'meta', 'checked', NOW)
return done()
