-- SPDX-License-Identifier: Apache-2.0
-- rebase.lua: the clock has jumped: what was measured by the time before begins anew by the time now. Nothing ends
-- by the jump, and nothing waits for a time that is far off.
-- arguments: until when nodes, claims and duties are left to those who have them
-- returns: nothing
local until_ms = number()
local BACKOFF_MAX_MS = 60000 -- what waits longer waits for a time before the jump
make_room()
for _, key in ipairs({'nodes', 'nodes_past', 'taken:4', 'taken:5'}) do
    local all = call('ZRANGE', P .. key, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do
        if tonumber(all[i + 1]) > 0 then -- 0: nobody has taken it
            call('ZADD', P .. key, until_ms, all[i])
        end
    end
end
local leads = call('HGETALL', P .. 'leads')
for i = 1, #leads, 2 do
    call('HSET', P .. 'leads', leads[i], string.match(leads[i + 1], '^%d+') .. ' ' .. string.format('%.0f', until_ms))
end
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'claims', '(0', '+inf')) do
    local t = task_find(id)
    t.changed, t.owner_until = true, until_ms
end

local function rebase_tile(id, n)
    local t = task_find(id)
    local tile = t and tile_get(t, tonumber(n))
    for _, g in ipairs(tile and tile.groups or {}) do
        if g.state == LEASED then
            g.due, tile.changed, t.changed = NOW + g.timeout + LEASE_SPARE_MS, true, true
        elseif g.state == WAITING and g.due > NOW + BACKOFF_MAX_MS then
            g.due, tile.changed, t.changed = NOW, true, true
        end
    end
end

for _, name in ipairs(call('ZRANGE', P .. 'due', 0, -1)) do
    rebase_tile(string.match(name, '^(%d+):(%d+)$'))
end
for phase = GENERATING, DRAINING do
    for _, id in ipairs(call('ZRANGE', P .. 'phase:' .. phase, 0, -1)) do
        for _, n in ipairs(call('ZRANGEBYSCORE', P .. 'w:' .. id, '(' .. string.format('%.0f', NOW + BACKOFF_MAX_MS), '+inf')) do
            rebase_tile(id, n)
        end
    end
end
return done()
