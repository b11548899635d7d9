-- SPDX-License-Identifier: Apache-2.0
-- overdue.lua: the tasks whose deadlines come first.
-- arguments: how many
-- returns: id, deadline, id, deadline ...
return done(call('ZRANGE', P .. 'deadlines', 0, number() - 1, 'WITHSCORES'))
