-- SPDX-License-Identifier: Apache-2.0
-- verify.lua: what is here was compared with the records: it may be run.
-- arguments: the epoch in which that was begun
-- returns: nothing
local epoch = text()
if call('HGET', P .. 'meta', 'epoch') == epoch then
    call('HSET', P .. 'meta', 'verified', epoch)
end
return done()
