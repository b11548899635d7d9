-- SPDX-License-Identifier: Apache-2.0
-- rebase.lua: the clock has jumped: what was measured by the time before begins anew by the time now. Nothing ends
-- by the jump, and nothing waits for a time that is far off. In pages: a call costs by what it looks at.
-- arguments: until when nodes, claims and duties are left to those who have them (0: as they are); stage (0: the first), cursor in it
-- returns: the next stage and cursor; stage 0: this was all
local until_ms, stage, cursor = number(), number(), text()
local PAGE = 500
make_room()

local function page(key, each)
    local answer = call('ZSCAN', P .. key, cursor, 'COUNT', PAGE)
    for i = 1, #answer[2], 2 do
        each(answer[2][i], tonumber(answer[2][i + 1]))
    end
    return answer[1]
end

local function hold(key)
    return function()
        return page(key, function(id, score)
            if score > 0 and until_ms > 0 then -- score 0: nobody has taken it
                call('ZADD', P .. key, until_ms, id)
            end
        end)
    end
end

-- What waits longer than it can wait for a time before the jump.
local function longest(t, failures)
    return NOW + backoff(t, failures)
end

local function rebase_tile(id, n)
    local t = task_find(id)
    local tile = t and tile_get(t, tonumber(n))
    for _, g in ipairs(tile and tile.groups or {}) do
        if g.state == LEASED then
            g.due, tile.changed, t.changed = NOW + g.timeout + LEASE_SPARE_MS, true, true
        elseif g.state == WAITING and g.due > longest(t, g.failures) then
            g.due, tile.changed, t.changed = NOW, true, true
        end
    end
end

local function wait_no_longer(key)
    return function()
        return page(key, function(id)
            guard(id, function()
                local t = task_find(id)
                local after = t and string.format('(%.0f', longest(t, t.max_retries)) -- what may wait is not looked at
                for _, n in ipairs(t and call('ZRANGEBYSCORE', P .. 'w:' .. id, after, '+inf') or {}) do
                    rebase_tile(id, n)
                end
            end)
        end)
    end
end

local stages = {
    function()
        local leads = call('HGETALL', P .. 'leads')
        for i = 1, until_ms > 0 and #leads or 0, 2 do
            call('HSET', P .. 'leads', leads[i],
                 (string.match(leads[i + 1], '^%d+') or '0') .. ' ' .. string.format('%.0f', until_ms))
        end
        return '0'
    end,
    hold('nodes'), hold('nodes_past'), hold('taken:4'), hold('taken:5'),
    function()
        return page('claims', function(id, score)
            if score > 0 and until_ms > 0 then
                guard(id, function()
                    local t = task_listed(id)
                    t.changed, t.owner_until = true, until_ms
                end)
            end
        end)
    end,
    function()
        return page('due', function(name)
            local id, n = string.match(name, '^(%d+):(%d+)$')
            guard(id, rebase_tile, id, n)
        end)
    end,
    wait_no_longer('phase:' .. GENERATING), wait_no_longer('phase:' .. DRAINING),
}

cursor = stages[stage + 1]()
if cursor == '0' then
    stage = (stage + 1) % #stages
end
return done(stage, cursor)
