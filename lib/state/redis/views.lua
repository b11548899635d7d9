-- SPDX-License-Identifier: Apache-2.0
-- views.lua: what schedulers need to know of the tasks that are generating or draining.
-- arguments: after, max
-- returns: for each id, then its view as in hints
local after, max, ids, rows = text(), number(), {}, {}
for phase = GENERATING, DRAINING do
    for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'phase:' .. phase, '(' .. after, '+inf', 'LIMIT', 0, max)) do
        ids[#ids + 1] = id
    end
end
table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
for i = 1, math.min(max, #ids) do
    local view = guard(ids[i], function() return task_view(task_listed(ids[i])) end)
    if view then
        rows[#rows + 1] = ids[i]
        rows[#rows + 1] = view
    end
end
return done(rows)
