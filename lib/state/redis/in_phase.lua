-- SPDX-License-Identifier: Apache-2.0
-- in_phase.lua: tasks of a phase, ids rising.
-- arguments: phase, after, max
-- returns: ids
local phase, after, max = text(), text(), number()
return done(call('ZRANGEBYSCORE', P .. 'phase:' .. phase, '(' .. after, '+inf', 'LIMIT', 0, max))
