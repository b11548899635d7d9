-- SPDX-License-Identifier: Apache-2.0
-- node_add.lua: registers a node, and gives it what it has of its former number.
-- arguments: id (0: the shard's next), 1 if it must be just that, session, former id, former session, name, host, types,
--   pid, slots, until, what it holds (as in node_return)
-- returns: id, or 0: a number up to the next answer was given before, take a higher one; the highest that was given;
--   masks of what it keeps; tasks of that that are stopping
local id, must, session, former, former_session = number(), number(), text(), number(), text()
local name, host, types, pid, slots, until_ms = text(), text(), text(), text(), text(), number()
local held, last = holding_read(), meta_number('last_node')
local known = session ~= '0' and whole(call('HGET', P .. 'sessions', session)) or 0
local known_here = known ~= 0 and call('ZSCORE', P .. 'nodes', known)
if must == 0 and known_here then
    id = known -- the answer to this call was lost
elseif must == 0 and id == 0 then
    id = last + 1
elseif must == 0 and id <= last then
    return done('0', string.format('%.0f', last), {}, {})
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
