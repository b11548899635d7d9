-- SPDX-License-Identifier: Apache-2.0
-- extend.lua: leases whose results are at hand do not end before they can be settled.
-- arguments: until, node, session, count; each: task, tile, attempt, mask
-- returns: nothing
local until_ms, node, session = number(), number(), text()
local function extend(id, n, attempt, mask)
    local t = task_find(id)
    local tile = t and is_live(t) and tile_get(t, n)
    for i = 1, tile and #tile.groups or 0 do
        local g = tile.groups[i]
        local some = band(g.mask, mask)
        if g.state == LEASED and g.attempt == attempt and some ~= 0 and g.due < until_ms and group_is_of(g, node, session) then
            group_split(tile, g, some).due = until_ms
        end
    end
end
for _ = 1, number() do
    local id, n, attempt, mask = text(), number(), number(), number()
    guard(id, extend, id, n, attempt, mask)
end
return done()
