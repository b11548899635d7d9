-- SPDX-License-Identifier: Apache-2.0
-- tick.lua: the server's clock, and whether its data is still the same.
-- arguments: none
-- returns: the epoch or nil, {seconds, microseconds}
return done(call('HGET', P .. 'meta', 'epoch'), call('TIME'))
