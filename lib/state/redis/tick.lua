-- SPDX-License-Identifier: Apache-2.0
-- tick.lua: the server's clock, and whether its data is still the same; looks for programs from before this format.
-- arguments: none
-- returns: the epoch or nil, {seconds, microseconds}
local epoch, is_alone, since = meta_number('epoch'), format_alone()
if is_alone and not since then -- pcall: a server that is full, or no master any more, still has its clock
    pcall(call, 'HSET', P .. 'meta', 'alone', string.format('%.0f %.0f', epoch, microseconds() / 1000))
elseif since and not is_alone then
    pcall(call, 'HDEL', P .. 'meta', 'alone')
end
return done(epoch > 0 and string.format('%.0f', epoch), call('TIME'))
