-- SPDX-License-Identifier: Apache-2.0
-- tile.lua: subtasks: tiles and their indexes, parameters, the queue.

-- ---- tiles: groups of subtasks, of 32 consecutive ones, that are in the same state

-- A parameter that is a value of its own: a field beside those of the tiles.
local function own_name(n, bit_at)
    return n .. ':' .. bit_at
end

local GROUP = '<BBHi4I4I4I4I4d'
local GROUP_BYTES = 32

-- When the first leased one is overdue, when the first waiting one is ready, who holds something.
local function tile_marks(tile)
    local due, ready, nodes
    for _, g in ipairs(tile.groups) do
        if g.state == LEASED then
            due = (due and due < g.due) and due or g.due
            nodes = nodes or {}
            nodes[g.node] = true
        elseif g.state == WAITING then
            ready = (ready and ready < g.due) and ready or g.due
        end
    end
    return due, ready, nodes
end

-- seen: which of it there are.
local function tile_new(t, n, groups, seen)
    local tile = {task = t, n = n, groups = groups, seen = seen}
    tile.due, tile.ready, tile.nodes = tile_marks(tile)
    t.tiles[n] = tile
    return tile
end

local function tile_get(t, n)
    local tile = t.tiles[n]
    if tile then
        return tile
    end
    local row, groups, seen = call('HGET', P .. 's:' .. t.id, n), {}, 0
    if row and #row % GROUP_BYTES ~= 0 then
        damaged(t.id, 's:%s, field "%s": %d bytes are no groups', t.id, n, #row)
    end
    for at = 1, row and #row or 0, GROUP_BYTES do
        local g = {}
        g.state, g.losses, g.failures, g.mask, g.segment, g.timeout, g.node, g.attempt, g.due =
            unpack_(GROUP, row, at)
        if g.state > WAITING or g.mask == 0 or band(seen, g.mask) ~= 0 or not (g.due >= 0 and g.due <= NEVER) then
            damaged(t.id, 's:%s, field "%s": its group %d makes no sense', t.id, n, #groups + 1)
        end
        seen = bor(seen, g.mask)
        groups[#groups + 1] = g
    end
    return tile_new(t, n, groups, seen)
end

-- A tile of which something should be leased. If nothing is, and the index says that something is, it is damaged.
local function tile_checked(t, n)
    local tile = tile_get(t, n)
    if not tile.changed and not tile.due and call('ZSCORE', P .. 'due', t.id .. ':' .. n) then
        damaged(t.id, 's:%s, field "%s": what is leased of it is missing', t.id, n)
    end
    return tile
end

-- A tile that an index names: something of it is in that state.
local function tile_listed(t, n, state)
    local tile = tile_get(t, n)
    for _, g in ipairs(tile.groups) do
        if g.state == state then
            return tile
        end
    end
    return tile.changed and tile or damaged(t.id, 's:%s, field "%s": what it should hold is missing', t.id, n)
end

-- A set that is none begins anew; what it held ends when it is overdue.
local function node_holds(command, node, name)
    local key = P .. 'h:' .. string.format('%.0f', node)
    local ok, e = pcall(call, command, key, name)
    if not ok and call('TYPE', key).ok == 'set' then
        error(error_text(e), 0)
    elseif not ok then
        call('DEL', key)
        call(command, key, name)
    end
end

local function tile_index(tile, due, ready, nodes)
    local t, name = tile.task, tile.task.id .. ':' .. tile.n
    if due ~= tile.due then
        if due then call('ZADD', P .. 'due', due, name) else call('ZREM', P .. 'due', name) end
    end
    if ready ~= tile.ready then
        local number = string.format('%010.0f', tile.n)
        if ready then
            call('ZADD', P .. 'w:' .. t.id, ready, number)
        else
            call('ZREM', P .. 'w:' .. t.id, number)
        end
    end
    for node in pairs(nodes or {}) do
        if not (tile.nodes and tile.nodes[node]) then node_holds('SADD', node, name) end
    end
    for node in pairs(tile.nodes or {}) do
        if not (nodes and nodes[node]) then node_holds('SREM', node, name) end
    end
    tile.due, tile.ready, tile.nodes = due, ready, nodes
end

-- What is settled needs its value no longer.
local function tile_own_forget(tile, gone)
    local names = {}
    each_bit(gone, function(bit_at)
        names[#names + 1] = own_name(tile.n, bit_at)
    end)
    if #names > 0 then
        call('HDEL', P .. 'p:' .. tile.task.id, unpack(names))
    end
end

local function tile_flush(tile)
    local rows, groups, t, left = {}, {}, tile.task, 0
    for _, g in ipairs(tile.groups) do
        if g.mask ~= 0 then
            left = bor(left, g.mask)
            groups[#groups + 1] = g
            rows[#groups] = pack(GROUP, g.state, g.losses, g.failures, g.mask, g.segment, g.timeout, g.node, g.attempt,
                                 g.due)
        end
    end
    tile.groups, tile.changed = groups, nil
    tile_index(tile, tile_marks(tile))
    if #groups == 0 then
        call('HDEL', P .. 's:' .. t.id, tile.n)
        call('HDEL', P .. 'p:' .. t.id, tile.n)
    else
        call('HSET', P .. 's:' .. t.id, tile.n, table.concat(rows))
    end
    if t.own == 1 then
        tile_own_forget(tile, band(tile.seen, bnot(left)))
    end
    tile.seen = left
end

local function tiles_flush(t)
    for _, tile in pairs(t.tiles) do
        if tile.changed then
            tile_flush(tile)
        end
    end
end

-- Moves some of a group's subtasks to a group of their own.
local function group_split(tile, g, mask)
    local part = {}
    for name, value in pairs(g) do
        part[name] = value
    end
    g.mask = bxor(g.mask, mask)
    part.mask = mask
    tile.groups[#tile.groups + 1] = part
    tile.changed, tile.task.changed = true, true
    return part
end

-- ---- what to execute: pieces of {first bit, count, bytes}, lengths, bytes one after the other

local PIECE = '<BBI4'
local PIECE_BYTES = 6
local OWN = 129 -- as a count: one, whose length is here, and its bytes are a value of their own

-- A tile's pieces.
local function pieces_get(t, n)
    return call('HGET', P .. 'p:' .. t.id, n) or damaged(t.id, 'p:%s has no field "%s"', t.id, n)
end

local function own_get(t, n, bit_at, length)
    local value = call('HGET', P .. 'p:' .. t.id, own_name(n, bit_at))
    if not value or #value ~= length then
        damaged(t.id, 'p:%s, field "%s": %d bytes are not what was stored', t.id, own_name(n, bit_at), value and #value or 0)
    end
    return pack('<BBI4I4', bit_at, 1, length, length) .. value
end

-- The pieces of tile n with just the subtasks in the mask.
local function pieces_cut(t, n, value, mask)
    local out, at, all, seen = {}, 1, true, 0
    while at <= #value do
        local first, count, bytes = unpack_(PIECE, value, at)
        local is_own = count == OWN
        count = is_own and 1 or count
        local lengths, body = at + PIECE_BYTES, at + PIECE_BYTES + 4 * count
        if first + count > 32 or body + bytes > #value + 1 then
            damaged(t.id, 'p:%s, field "%s": %d bytes are no pieces', t.id, n, #value)
        end
        local piece = bits(first, count)
        at, seen = body + bytes, bor(seen, piece)
        if is_own then
            all = false
            if band(piece, mask) ~= 0 then
                out[#out + 1] = own_get(t, n, first, unpack_('<I4', value, lengths))
            end
        elseif band(piece, mask) == piece then
            out[#out + 1] = string.sub(value, lengths - PIECE_BYTES, at - 1)
        else
            all = false
            for i = 0, count - 1 do
                local length = unpack_('<I4', value, lengths + 4 * i)
                if band(mask, lshift(1, first + i)) ~= 0 then
                    out[#out + 1] = pack('<BBI4I4', first + i, 1, length, length) ..
                        string.sub(value, body, body + length - 1)
                end
                body = body + length
            end
        end
    end
    if band(seen, mask) ~= mask then
        damaged(t.id, 'p:%s, field "%s": parameters are missing', t.id, n)
    end
    return all and value or table.concat(out)
end

-- Bytes of the large ones among the parameters that were cut out.
local function pieces_large(value)
    local at, sum = 1, 0
    while at <= #value do
        local _, count, bytes = unpack_(PIECE, value, at)
        for i = 0, count - 1 do
            local length = unpack_('<I4', value, at + PIECE_BYTES + 4 * i)
            sum = sum + (length >= LARGE_PARAM and length or 0)
        end
        at = at + PIECE_BYTES + 4 * count + bytes
    end
    return sum
end

-- The lowest of the mask whose params reach `room` bytes, or all.
local function pieces_limit(value, mask, room)
    local out, at, sum = 0, 1, 0
    while at <= #value do
        local first, count, bytes = unpack_(PIECE, value, at)
        count = count == OWN and 1 or count
        for i = 0, count - 1 do
            if sum < room and band(mask, lshift(1, first + i)) ~= 0 then
                out = bor(out, lshift(1, first + i))
                sum = sum + unpack_('<I4', value, at + PIECE_BYTES + 4 * i)
            end
        end
        at = at + PIECE_BYTES + 4 * count + bytes
    end
    return out
end

-- ---- queueing

-- Subtasks as they come in arguments: count, timeout (0: one each), timeouts, lengths, the sums of the lengths
-- before each, bytes, length of the longest.
local function batch_read()
    local batch = {count = number()}
    if batch.count > 0 then
        batch.timeout, batch.timeouts, batch.lengths, batch.sums, batch.bytes, batch.longest =
            number(), text(), text(), text(), text(), number()
    end
    return batch
end

local function group_fresh(t, mask, segment, timeout)
    return {state = FRESH, losses = 0, failures = 0, mask = mask, segment = segment, timeout = timeout, node = 0,
            attempt = t.attempts, due = 0}
end

local function batch_groups(t, groups, batch, at, bit_at, count, segment)
    if batch.timeout > 0 then
        groups[#groups + 1] = group_fresh(t, bits(bit_at, count), segment, batch.timeout)
        return
    end
    for i = 0, count - 1 do
        local timeout, last = unpack_('<I4', batch.timeouts, 4 * (at + i) + 1), groups[#groups]
        if last and last.state == FRESH and last.segment == segment and last.timeout == timeout then
            last.mask = bor(last.mask, lshift(1, bit_at + i))
        else
            groups[#groups + 1] = group_fresh(t, lshift(1, bit_at + i), segment, timeout)
        end
    end
end

-- Whether a parameter may be a value of its own: the format rises when the first is stored, once all have known it for a
-- while, since programs that know format 2 take such a tile for damaged.
local function own_begin()
    if call('HGET', P .. 'meta', 'format') == tostring(FORMAT) then
        return true
    end
    local is_alone, since = format_alone()
    if not (is_alone and since and microseconds() / 1000 - since >= FORMAT_MS) then
        return false
    end
    call('HSET', P .. 'meta', 'format', FORMAT)
    return true
end

-- The piece of `count` of a batch's subtasks, from number `at` on; from, to: their bytes.
local function piece_small(batch, at, bit_at, count, from, to)
    return pack(PIECE, bit_at, count, to - from) .. string.sub(batch.lengths, 4 * at + 1, 4 * (at + count)) ..
        string.sub(batch.bytes, from + 1, to)
end

-- The same where some are large, one by one.
local function pieces_own(t, n, batch, at, bit_at, count)
    local out = {}
    for i = 0, count - 1 do
        local from, to = unpack_('<I4', batch.sums, 4 * (at + i) + 1), unpack_('<I4', batch.sums, 4 * (at + i) + 5)
        if to - from < LARGE_PARAM then
            out[#out + 1] = piece_small(batch, at + i, bit_at + i, 1, from, to)
        else
            out[#out + 1] = pack('<BBI4I4', bit_at + i, OWN, 0, to - from)
            call('HSET', P .. 'p:' .. t.id, own_name(n, bit_at + i), string.sub(batch.bytes, from + 1, to))
        end
    end
    t.own = 1
    return table.concat(out)
end

local function batch_large(batch, first, last)
    local sum = 0
    for i = first, last - 1 do
        local length = unpack_('<I4', batch.lengths, 4 * i + 1)
        sum = sum + (length >= LARGE_PARAM and length or 0)
    end
    return sum
end

-- Queues a batch from its subtask `first` up to `last` (the first is 0, the last is not included) at the end, as
-- part of segment n.
local function task_append(t, batch, first, last, n)
    local at, seq = first, t.generated
    local has_large = first < last and batch.longest >= LARGE_PARAM
    local own = has_large and own_begin()
    t.bytes = t.bytes + (has_large and batch_large(batch, first, last) or 0)
    while at < last do
        local number, bit_at = math.floor(seq / 32), seq % 32
        local count = math.min(32 - bit_at, last - at)
        local from, to = unpack_('<I4', batch.sums, 4 * at + 1), unpack_('<I4', batch.sums, 4 * (at + count) + 1)
        local piece = own and pieces_own(t, number, batch, at, bit_at, count) or
            piece_small(batch, at, bit_at, count, from, to)
        local tile = bit_at == 0 and tile_new(t, number, {}, 0) or tile_get(t, number)
        if #tile.groups > 0 then
            piece = pieces_get(t, number) .. piece
        end
        batch_groups(t, tile.groups, batch, at, bit_at, count, n)
        call('HSET', P .. 'p:' .. t.id, number, piece)
        tile.changed = true
        at, seq = at + count, seq + count
    end
    local added = last - first
    local segment = segment_get(t, n)
    segment.open, segment.generated = segment.open + added, segment.generated + added
    t.generated, t.queued = t.generated + added, t.queued + added
    t.changed = true
end
