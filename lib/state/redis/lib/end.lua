-- SPDX-License-Identifier: Apache-2.0
-- end.lua: the end of a call: views and hints, all that has changed is written, and what becomes of a damaged task.

-- ---- views

-- What waits and is due, of the first tiles by time; when the next will be.
local function retries_count(t)
    local ready, next_retry = 0, -1
    local waiting = call('ZRANGE', P .. 'w:' .. t.id, 0, READY_TILES - 1)
    if #waiting == 0 then
        damaged(t.id, 'w:%s is missing, %.0f subtasks wait', t.id, t.queued - fresh(t))
    end
    for _, n in ipairs(waiting) do
        local tile = tile_listed(t, tonumber(n), WAITING)
        for _, g in ipairs(tile.groups) do
            if g.state == WAITING and g.due <= NOW then
                ready = ready + count_bits(g.mask)
            elseif g.state == WAITING and (next_retry < 0 or g.due < next_retry) then
                next_retry = g.due
            end
        end
        if tile.ready and tile.ready > NOW then
            break
        end
    end
    return ready, next_retry
end

-- Hints and view of a task, each field ended by a zero byte.
local function task_view(t)
    local ready, retries, next_retry = 0, 0, -1
    if is_live(t) and t.paused == 0 and not results_full(t) then
        ready = fresh(t)
        if t.queued > ready then
            retries, next_retry = retries_count(t)
        end
    end
    return table.concat({t.hints, t.id, string.format('%.0f', t.version), t.group, t.type, t.priority, ready + retries,
                         next_retry, t.running, t.max_running, t.used_count, string.format('%.0f', t.used_us), ''}, '\0')
end

-- ---- the end of a script

local function task_flush(t)
    t.bytes = fresh(t) > 0 and t.bytes or 0
    task_advance(t)
    if t.phase ~= t.phase_before and t.phase >= CLOSING then
        t.hints = bor(t.hints, t.phase == CLOSING and HINT_CLOSING or HINT_CLOSED)
        if t.phase_before < CLOSING then
            task_clear(t)
        end
    end
    if t.phase ~= GENERATING then
        t.owner = '0'
    elseif t.paused == 0 and not t.low_before and queue_low(t) then
        claim_free(t)
    end
    t.version = t.version + 1
    t.hints = bor(t.hints, HINT_VIEW)
    if t.phase < CLOSING then
        segments_flush(t)
    end
    task_place(t)
    task_write(t)
end

local function done(...)
    local hints = {}
    for _, t in ipairs(touched) do
        hints[#hints + 1] = not t.ruined and guard(t.id, function()
            tiles_flush(t)
            if t.changed then
                task_flush(t)
            end
            return t.hints > 0 and task_view(t) or ''
        end) or ''
    end
    nodes_flush()
    local told = table.concat(hints)
    if #told > 0 then
        call(PUBLISH, KEYS[1] .. ':hints', ARGV[1] .. '\0' .. told)
    end
    return {0, told, ...}
end

-- Calls a script's body. One task that it is about and that is damaged is taken out of the state: the script answers as
-- if it had not been there.
local function run(main)
    local ok, answer = pcall(main)
    if ok then
        return answer
    end
    local text = error_text(answer)
    local id, what = damage_of(text, subject)
    if not id then
        return {err = string.match(text, '^%u+ ') and text or 'ERR ' .. text}
    end
    task_ruin(id, what)
    return fail(NOT_FOUND, 'task %s is not under way: what was here of it is damaged: %s', id, what)
end
