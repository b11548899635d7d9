-- SPDX-License-Identifier: Apache-2.0
-- node_add.lua: registers a node, and gives it what it has of its former number.
-- arguments: id that it must have, or 0; whether the shard numbers by itself; first and last number of a new reserve, or 0,
--   0; session, former id, former session, name, host, types,
--   pid, slots, until, what it holds (as in node_return)
-- returns: id, or 0: the reserve is used up, a new one above the next answer is wanted; the highest number that was given;
--   masks of what it keeps; tasks of that that are stopping
local id, alone, first, reserve = number(), number(), number(), number()
local session, former, former_session = text(), number(), text()
local name, host, types, pid, slots, until_ms = text(), text(), text(), text(), text(), number()
local held, last = holding_read(), meta_number('last_node')
local known = session ~= '0' and whole(call('HGET', P .. 'sessions', session)) or 0
local known_here = known ~= 0 and call('ZSCORE', P .. 'nodes', known)

-- The next one of the reserve, which the newest replaces if it lies above; nil: there is none.
local function next_number()
    local upto = meta_number('node_reserve')
    if alone == 1 then
        return last + 1
    end
    if reserve > upto and reserve > last then
        upto, last = reserve, math.max(last, first - 1)
        call('HSET', P .. 'meta', 'node_reserve', string.format('%.0f', upto), 'last_node', string.format('%.0f', last))
    end
    return last < upto and last + 1 or nil
end

if id == 0 then
    make_room()
    id = known_here and known or next_number() -- known: the answer to this call was lost
    if not id then
        return done('0', string.format('%.0f', last), {}, {})
    end
end
make_room()
local new, gone = not (known_here and known == id), {}
if known ~= 0 and known ~= id then
    gone[1] = known
end
if former ~= 0 and former ~= id and former ~= known and node_is(former, former_session) and former_session ~= '0' then
    gone[#gone + 1] = former
end
if not new and not node_fields(string.format('%.0f', id)) then -- what it holds is counted below
    call('DEL', P .. 'n:' .. id)
    new = true
end
if new then
    call('HSET', P .. 'n:' .. id, 'running', 0, 'settled', 0)
end
call('HSET', P .. 'n:' .. id, 'name', name, 'host', host, 'types', types, 'pid', pid, 'slots', slots, 'session', session)
call('HSET', P .. 'meta', 'last_node', string.format('%.0f', math.max(last, id)))
call('ZADD', P .. 'nodes', until_ms, id)
call('ZREM', P .. 'nodes_past', id)
if session ~= '0' then
    call('HSET', P .. 'sessions', session, id)
end
holding_take(held, id, id)
for _, node in ipairs(gone) do
    holding_take(held, node, id)
end
local masks, stops = holding_answer(held)
local answer = done(string.format('%.0f', id), '0', masks, stops)
for _, node in ipairs(gone) do
    node_forget(node)
end
if session ~= '0' then
    call('HSET', P .. 'sessions', session, id) -- one of those gone may have had it
end
return answer
