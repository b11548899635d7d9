-- SPDX-License-Identifier: Apache-2.0
-- results.lua: kept results; forgets those that the caller has had.
-- arguments: task, after, max
-- returns: position of the first, items, 1 if there will be no more; NOT_FOUND
local id, after, max = text(), number(), number()
local key, t, gone = P .. 'r:' .. id, task_find(id), false
if t and results_anew(t) then
    t.changed = true
end
local read = t and t.results_read or 0
if not t then
    gone = call('ZSCORE', P .. 'gone', id)
    local read_out = gone and tonumber(gone) < 0
    if not gone or (read_out and after < (whole(call('HGET', P .. 'gone_read', id)) or 0)) then
        return fail(NOT_FOUND, 'no results of task %s are kept', id)
    end
    -- not known any more: what there is was not read, and gets positions above any that were given
    read = whole(call('HGET', P .. 'gone_read', id)) or microseconds()
end
local count = call('LLEN', key)
if t and count ~= t.results - t.results_read then
    damaged(id, 'r:%s has %d results of %.0f', id, count, t.results - t.results_read)
end
local forget = math.min(math.max(after - read, 0), count)
if forget > 0 then
    make_room()
    if t then
        for _, item in ipairs(t.phase < CLOSING and call('LRANGE', key, 0, forget - 1) or {}) do
            local segment = segment_get(t, (unpack_('<I4', item)))
            segment.open = segment.open - 1
        end
        t.changed, t.results_read = true, read + forget
    else
        call('HSET', P .. 'gone_read', id, string.format('%.0f', read + forget))
    end
    call('LTRIM', key, forget, -1)
end
local items, bytes = {}, 0
while #items < max and bytes < BATCH_BYTES do
    local more = call('LRANGE', key, #items, #items + math.min(64, max - #items) - 1)
    for _, item in ipairs(more) do
        if bytes < BATCH_BYTES then
            items[#items + 1] = item
            bytes = bytes + #item
        end
    end
    if #more == 0 then
        break
    end
end
local all = #items < max and bytes < BATCH_BYTES
-- Read to the end. The place is kept until the second expire_results from now: whoever has had all may ask
-- again, as this answer may be lost; nobody else learns of an end.
if gone and #items == 0 and max > 0 and tonumber(gone) >= 0 then
    call('ZADD', P .. 'gone', READ_OUT, id)
end
return done(string.format('%.0f', read + forget + 1), items, gone and all and 1 or 0)
