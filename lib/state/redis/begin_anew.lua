-- SPDX-License-Identifier: Apache-2.0
-- begin_anew.lua: what is here may be older than the records, though the server has not started since: the next hello
-- gives it another epoch, as after a start.
-- arguments: none
-- returns: nothing
call('HDEL', P .. 'meta', 'run_id', 'verified')
return done()
