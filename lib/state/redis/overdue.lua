-- SPDX-License-Identifier: Apache-2.0
-- overdue.lua: the tasks whose deadlines come first.
-- arguments: how many
-- returns: id, deadline, id, deadline ...
local rows, out = call('ZRANGE', P .. 'deadlines', 0, number() - 1, 'WITHSCORES'), {}
for i = 1, #rows, 2 do
    local good = whole(rows[i + 1]) or guard(rows[i], damaged, rows[i], 'deadlines, member %s: no date', rows[i])
    if good then
        out[#out + 1] = rows[i]
        out[#out + 1] = rows[i + 1]
    end
end
return done(out)
