-- SPDX-License-Identifier: Apache-2.0
-- call.lua: what every script begins with: its arguments, damage, sets of bits. The numbers that C has too are printed
-- before it (../numbers.c); task, segment, tile, node, result and end follow, and then the script itself.
--
-- KEYS[1] is the shard's prefix, such as "dtf:{0}"; every key that a script touches begins with it (but for one of
-- hello.lua), so that a shard lives in one hash slot. There is no key of this name: while a Redis Cluster moves the slot it
-- therefore runs no script, on either side. In a cluster KEYS[2] is there, and the same. ARGV[1] names the process that calls, ARGV[2] is the time in milliseconds; the
-- script's own arguments follow. docs/REDIS.md says what each key holds.
--
-- A script returns fail(...), before it has written anything, or done(...): {0, hints, ...}. It changes tasks,
-- tiles and segments as Lua tables; done() moves the tasks on and writes each back once. Its text becomes the body of
-- a function, which run() at the end calls: see there what becomes of a task whose keys are damaged.
local call = redis.call
local band, bor, bxor, bnot, lshift = bit.band, bit.bor, bit.bxor, bit.bnot, bit.lshift
local pack, unpack_ = struct.pack, struct.unpack
local P, NOW = KEYS[1] .. ':', tonumber(ARGV[2])
local IS_CLUSTER = KEYS[2] ~= nil
local PUBLISH, NUMSUB = IS_CLUSTER and 'SPUBLISH' or 'PUBLISH', IS_CLUSTER and 'SHARDNUMSUB' or 'NUMSUB'

local FORMAT_MS = 60000 -- for how long nobody else must have listened
local FRESH, LEASED, WAITING = 0, 1, 2 -- the states of a group
local SOME = 1000 -- of many that one call changes
local READ_OUT = -1 -- in `gone`, instead of a time; then one less: the next expire_results forgets it
local ATTEMPTS_ANEW = 100000 -- apart, for each time that a task was damaged
local SEGMENT_SUBTASKS, SEGMENT_MS, SEGMENTS_MAX = 500, 1000, 64
local U32_MAX = 4294967295

-- Members of a sorted set of leases that have run out. One that ends later than any lease can was given by a clock gone
-- wrong, and must not outlive it.
local function run_out(key, max)
    local ids = call('ZRANGEBYSCORE', key, '-inf', NOW, 'LIMIT', 0, max)
    if #ids < max then
        local wrong = call('ZRANGEBYSCORE', key, NOW + 2 * LEASE_MAX_MS, '(' .. string.format('%.0f', NEVER), 'LIMIT', 0,
                           max - #ids)
        for _, id in ipairs(wrong) do
            ids[#ids + 1] = id
        end
    end
    return ids
end

-- ---- arguments

local argument = 2

local function text()
    argument = argument + 1
    return ARGV[argument]
end

local function number()
    return tonumber(text())
end

-- The server's own clock, for what must rise whatever the store has lost.
local function microseconds()
    local clock = call('TIME')
    return tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end

local function fail(code, format, ...)
    return {code, string.format(format, ...)}
end

-- Whether what is here was compared with the records since the server started: if not, it may be older than they
-- are, and nothing of it may be run.
local function is_verified()
    local row = call('HMGET', P .. 'meta', 'epoch', 'verified')
    return row[1] and row[1] == row[2]
end

local UNVERIFIED = 'the state is being compared with the records'

-- Whether all who listen here know this format (each says so by listening to a channel that carries nothing), and since
-- when that was so at every look since the server began anew; nil: not yet.
local function format_alone()
    local listen = call('PUBSUB', NUMSUB, KEYS[1] .. ':hints', KEYS[1] .. ':format' .. FORMAT)
    local row = call('HMGET', P .. 'meta', 'epoch', 'alone')
    local epoch, since = string.match(row[2] or '', '^(%d+) (%d+)$')
    return listen[4] > 0 and listen[4] == listen[2], epoch and epoch == row[1] and tonumber(since) or nil
end

-- Before a script that frees more than it takes: Redis refuses its writes no more when it is full.
local function make_room()
    call('DEL', P .. '-')
end

-- ---- damage: keys that are not as the scripts write them

-- Says so of a task: nothing more is done with it; guard() or run() takes it out.
local function damaged(id, format, ...)
    error('damaged ' .. id .. ' ' .. P .. string.format(format, ...), 0)
end

-- A whole number that a script may have written; nil: it is none.
local function whole(value, max)
    local n = tonumber(value)
    return (n and n % 1 == 0 and n >= 0 and n <= (max or NEVER)) and n or nil
end

-- A number of `meta`. What is none there, or is so large that it leaves little room for more, is not known, and comes
-- again from the records.
local META_MOST = {last_task = 2 ^ 52, last_event = 2 ^ 52, last_node = 2 ^ 32, node_reserve = 2 ^ 32}

local function meta_number(name)
    return whole(call('HGET', P .. 'meta', name), META_MOST[name]) or 0
end

local KEYS_OF_TASK = {t = 'hash', p = 'hash', s = 'hash', c = 'hash', g = 'hash', w = 'zset', r = 'list', f = 'list'}

-- The key of a task that is of another type than it should be.
local function wrong_key(id)
    for kind, should in pairs(KEYS_OF_TASK) do
        local is = call('TYPE', P .. kind .. ':' .. id).ok
        if is ~= 'none' and is ~= should then
            return string.format('%s%s:%s is a %s, no %s', P, kind, id, is, should)
        end
    end
end

-- An error's text, whatever Redis makes of what was raised. (Only texts may be raised: a table that nobody catches
-- ends Redis 7.0.)
local function error_text(e)
    return type(e) == 'table' and e.err or tostring(e)
end

-- What an error says of the task that was looked at: whose damage it is, and what. nil: it is none of a task's; Redis
-- is full, is no master any more, an index is of another type.
local function damage_of(e, id)
    local whose, what = string.match(e, '^damaged (%S+) (.*)$')
    if whose then
        return whose, what
    elseif id and string.find(e, 'WRONGTYPE', 1, true) then
        local key = wrong_key(id)
        return key and id, key
    elseif id and (string.find(e, 'attempt to ', 1, true) or string.find(e, 'bad argument', 1, true)) then
        return id, string.format('%st:%s and what belongs to it do not fit together: %s', P, id, e)
    end
end

-- ---- sets of bits: which of a tile's 32 subtasks

local function count_bits(mask)
    if mask == -1 then
        return 32
    end
    local n = 0
    while mask ~= 0 do
        mask = band(mask, mask - 1)
        n = n + 1
    end
    return n
end

local function bits(first, count)
    if count == 32 then
        return -1
    end
    return lshift(lshift(1, count) - 1, first)
end

local function lowest(mask, count)
    local out = 0
    while mask ~= 0 and count > 0 do
        local one = band(mask, -mask)
        out, mask, count = bor(out, one), bxor(mask, one), count - 1
    end
    return out
end

local function each_bit(mask, fn)
    for i = 0, 31 do
        if band(mask, lshift(1, i)) ~= 0 then
            fn(i)
        end
    end
end
