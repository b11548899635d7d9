-- SPDX-License-Identifier: Apache-2.0
-- nodes.lua: the nodes there are.
-- arguments: none
-- returns: for each {id, until, name, host, types, pid, slots, running, settled}
local rows, all = {}, call('ZRANGE', P .. 'nodes', 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
    local row = call('HMGET', P .. 'n:' .. all[i], 'name', 'host', 'types', 'pid', 'slots', 'running', 'settled')
    table.insert(row, 1, string.format('%.0f', tonumber(all[i + 1])))
    table.insert(row, 1, all[i])
    rows[#rows + 1] = row
end
return done(rows)
