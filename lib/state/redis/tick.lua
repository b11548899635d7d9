-- SPDX-License-Identifier: Apache-2.0
-- tick.lua: the server's clock, and whether its data is still the same.
-- arguments: none
-- returns: the epoch or nil, {seconds, microseconds}
local epoch = meta_number('epoch')
return done(epoch > 0 and string.format('%.0f', epoch), call('TIME'))
