-- SPDX-License-Identifier: Apache-2.0
-- peek.lua: of leased subtasks, which are current, and of what.
-- arguments: count; each: task, tile, attempt, mask, node (0: any), session
-- returns: parts, one after the other: number of the question, type, mask, timeout, whether its task is stopping, pieces
local out = {}
local function peek(question, id, n, attempt, mask, node, session)
    local t = task_find(id)
    for _, g in ipairs(t and tile_get(t, n).groups or {}) do
        local hit = (g.state == LEASED and g.attempt == attempt and group_is_of(g, node, session)) and
            band(g.mask, mask) or 0
        if hit ~= 0 then
            local value = pieces_cut(t, n, pieces_get(t, n), hit)
            for _, field in ipairs({question - 1, t.type, hit, g.timeout, t.phase >= STOPPING and 1 or 0, value}) do
                out[#out + 1] = field
            end
        end
    end
end
for question = 1, number() do
    local id, n, attempt, mask, node, session = text(), number(), number(), number(), number(), text()
    guard(id, peek, question, id, n, attempt, mask, node, session)
end
return done(out)
