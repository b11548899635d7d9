-- SPDX-License-Identifier: Apache-2.0
-- node.lua: nodes, what they hold, and what of it comes back.

-- ---- nodes: who they are

-- Whether a number is still that of this registration; '0': the caller knows of none.
local sessions = {}

local function node_is(node, session)
    if session == '0' then
        return true
    end
    if sessions[node] == nil then
        local ok, known = pcall(call, 'HGET', P .. 'n:' .. string.format('%.0f', node), 'session')
        sessions[node] = ok and known
    end
    return sessions[node] == session
end

-- Whether a group is leased to a node; 0: to anybody.
local function group_is_of(g, node, session)
    return node == 0 or (g.node == node and node_is(node, session))
end

local NODE = {'name', 'host', 'types', 'pid', 'slots', 'running', 'settled', 'session'}
local NODE_MAX = {pid = U32_MAX, slots = U32_MAX, running = NEVER, settled = NEVER, session = 2 ^ 64}

-- The fields of a node in that order; or nil, and what is wrong: the node must register again then.
local function node_fields(id)
    local key = P .. 'n:' .. id
    local ok, row = pcall(call, 'HMGET', key, unpack(NODE))
    if not ok then
        return nil, key .. ' is no hash'
    end
    for i, field in ipairs(NODE) do
        if not row[i] then
            return nil, string.format('%s has no field "%s"', key, field)
        elseif NODE_MAX[field] and not (string.match(row[i], '^%d+$') and whole(row[i], NODE_MAX[field]) and
                                        (#row[i] < 20 or row[i] <= '18446744073709551615')) then
            return nil, string.format('%s, field "%s" is "%s"', key, field, string.sub(row[i], 1, 40))
        end
    end
    return row
end

local NOTE = {'usable', 'short_of', 'quarantine'}

-- A node as it is told: id, until, name, host, types, pid, slots, running, settled, session; what node_note has kept.
local function node_row(id, until_ms)
    local row, wrong = node_fields(id)
    if not row then
        return nil, wrong
    end
    local slots, note = row[5], call('HMGET', P .. 'n:' .. id, unpack(NOTE))
    table.insert(row, 1, string.format('%.0f', whole(until_ms) or 0))
    table.insert(row, 1, id)
    local usable = note[1] and string.match(note[1], '^%d+$') and whole(note[1], U32_MAX)
    row[11] = note[2] and note[2] ~= '' and usable and note[1] or slots
    row[12], row[13] = note[2] or '', note[3] or ''
    return row
end

-- The names of the tiles of which a node holds something.
local function node_tiles(node)
    local key = P .. 'h:' .. string.format('%.0f', node)
    local ok, names = pcall(call, 'SMEMBERS', key)
    if not ok then
        call('DEL', key)
    end
    return ok and names or {}
end

-- After done(): a number that is nobody's any more.
local function node_forget(node)
    local name = string.format('%.0f', node)
    local _, session = pcall(call, 'HGET', P .. 'n:' .. name, 'session')
    if type(session) == 'string' and call('HGET', P .. 'sessions', session) == name then
        call('HDEL', P .. 'sessions', session)
    end
    call('ZREM', P .. 'nodes', name)
    call('ZREM', P .. 'nodes_past', name)
    call('UNLINK', P .. 'n:' .. name, P .. 'h:' .. name)
end

-- ---- nodes: counting what they hold

local nodes, recounted = {}, {}

local function node_count(node, running, settled)
    local n = nodes[node]
    if not n then
        n = {running = 0, settled = 0}
        nodes[node] = n
    end
    n.running, n.settled = n.running + running, n.settled + settled
end

-- Leases that it was given in this call.
local function node_counted(node)
    return nodes[node] and nodes[node].running or 0
end

-- What cannot be counted makes the node register again when it is given something (node_fields).
local function nodes_flush()
    for node, running in pairs(recounted) do
        pcall(call, 'HSET', P .. 'n:' .. node, 'running', running)
    end
    for node, n in pairs(nodes) do
        if (n.running ~= 0 or n.settled ~= 0) and call('ZSCORE', P .. 'nodes', node) then
            pcall(call, 'HINCRBY', P .. 'n:' .. node, 'running', n.running)
            pcall(call, 'HINCRBY', P .. 'n:' .. node, 'settled', n.settled)
        end
    end
end

-- ---- leased subtasks that come back

-- Puts leased subtasks of a group back, to be ready at `ready`; of a task that is stopping, they are cancelled.
local function group_return(tile, g, mask, ready, redispatched)
    local t, count = tile.task, count_bits(mask)
    local segment = segment_get(t, g.segment)
    node_count(g.node, -count, 0)
    t.running = t.running - count
    local part = group_split(tile, g, mask)
    if not is_live(t) then
        t.cancelled, segment.cancelled = t.cancelled + count, segment.cancelled + count
        segment.open = segment.open - count
        part.mask = 0
        return
    end
    t.queued = t.queued + count
    part.state, part.node, part.due = WAITING, 0, ready
    if redispatched then
        t.redispatched, segment.redispatched = t.redispatched + count, segment.redispatched + count
    end
end

-- ---- what a node says it has: count; each: task, tile, attempt, mask

local function holding_read()
    local held = {keys = {}, masks = {}, has = {}, kept = {}, stops = {}}
    for i = 1, number() do
        local key, mask = text() .. ':' .. text() .. ':' .. text(), number()
        held.keys[i], held.masks[i] = key, mask
        held.has[key] = bor(held.has[key] or 0, mask)
    end
    return held
end

-- What is leased to `node` and held becomes the heir's; what is not held goes back to the queue.
local function holding_take_tile(held, node, heir, t, tile)
    local keeps = 0
    for i = 1, #tile.groups do
        local g = tile.groups[i]
        local key = t.id .. ':' .. tile.n .. ':' .. string.format('%.0f', g.attempt)
        local has = (g.state == LEASED and g.node == node) and band(g.mask, held.has[key] or 0) or 0
        if g.state == LEASED and g.node == node and has ~= g.mask then
            group_return(tile, g, bxor(g.mask, has), 0, true)
        end
        if has ~= 0 then
            local count = count_bits(has)
            held.kept[key] = bor(held.kept[key] or 0, has)
            held.stops[t.id] = t.phase == STOPPING or nil
            keeps = keeps + count
            if heir ~= node then
                node_count(node, -count, 0)
                node_count(heir, count, 0)
                g.node, tile.changed, t.changed = heir, true, true
            end
        end
    end
    return keeps
end

-- This is all that it holds here, so its leases are counted anew.
local function holding_take(held, node, heir)
    local keeps = 0
    for _, name in ipairs(node_tiles(node)) do
        local id, n = string.match(name, '^(%d+):(%d+)$')
        local t = id and guard(id, task_find, id)
        local tile = t and guard(id, tile_checked, t, tonumber(n))
        if tile and tile.nodes and tile.nodes[node] then
            keeps = keeps + (guard(id, holding_take_tile, held, node, heir, t, tile) or 0)
        elseif not (tile and tile.changed) then -- of a task, or a tile, that was damaged
            node_holds('SREM', node, name)
        end
    end
    if heir == node then
        node_count(node, 0, 0)
        nodes[node].running, recounted[node] = 0, keeps
    end
end

-- For each entry the mask of what is the node's; the tasks of that that are stopping.
local function holding_answer(held)
    local masks, stops = {}, {}
    for i, key in ipairs(held.keys) do
        masks[i] = band(held.masks[i], held.kept[key] or 0)
    end
    for id in pairs(held.stops) do
        stops[#stops + 1] = id
    end
    return masks, stops
end
