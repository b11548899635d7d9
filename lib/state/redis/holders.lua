-- SPDX-License-Identifier: Apache-2.0
-- holders.lua: the nodes that hold something of a task.
-- arguments: task
-- returns: node ids, in no order
local t, seen, out = task_find(text()), {}, {}
local rows = t and call('HKEYS', P .. 's:' .. t.id) or {}
for _, n in ipairs(rows) do
    for node in pairs(tile_get(t, tonumber(n)).nodes or {}) do
        if not seen[node] then
            seen[node] = true
            out[#out + 1] = string.format('%.0f', node)
        end
    end
end
return done(out)
