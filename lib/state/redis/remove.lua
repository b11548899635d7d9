-- SPDX-License-Identifier: Apache-2.0
-- remove.lua: forgets closed tasks.
-- arguments: how long unread results stay, count, ids
-- returns: nothing
local until_ms = number()
make_room()
local function remove(id)
    local t = task_find(id)
    if not t or (t.phase == CLOSED and t.outcome ~= OUTCOME_DROPPED) then
        call('HDEL', P .. 'damaged', id)
    end
    if t and t.phase == CLOSED then
        local keeps = t.keep == 1 and t.outcome ~= OUTCOME_DROPPED
        if keeps then -- also when all were read: who comes next learns that these were all
            call('ZADD', P .. 'gone', until_ms, t.id)
            results_anew(t)
            call('HSET', P .. 'gone_read', t.id, string.format('%.0f', t.results_read))
        end
        call('UNLINK', P .. 't:' .. t.id, P .. 'f:' .. t.id)
        if t.keep == 1 and not keeps then
            call('UNLINK', P .. 'r:' .. t.id)
        end
        call('ZREM', P .. 'phase:5', t.id)
        call('ZREM', P .. 'taken:5', t.id)
        t.hints = bor(HINT_GONE, keeps and HINT_RESULTS or 0)
    end
end
for _ = 1, number() do
    local id = text()
    guard(id, remove, id)
end
return done()
