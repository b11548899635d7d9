-- SPDX-License-Identifier: Apache-2.0
-- points_recorded.lua: these points are recorded; newer ones stay.
-- arguments: count; each: task, segment
-- returns: nothing
for _ = 1, number() do
    local id, segment = text(), number()
    local score = call('ZSCORE', P .. 'points', id)
    if score and tonumber(score) <= segment then
        call('ZREM', P .. 'points', id)
    end
end
return done()
