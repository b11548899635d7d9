-- SPDX-License-Identifier: Apache-2.0
-- points.lua: how far tasks have got for good, where that was not recorded yet.
-- arguments: max, bytes that the checkpoints may take
-- returns: for each {task, segment, made, percent, whether there is a checkpoint, checkpoint, generated, succeeded,
--   failed, timed_out, cancelled, retried, redispatched}
local rows, max, room, bytes = {}, number(), number(), 0
local function point(id)
    local t = task_listed(id)
    local base = segment_load(t, 'base')
    local checkpoint = t.base_checkpoint > 0 and checkpoint_load(t, t.base_checkpoint)
    local row = {id, t.base, string.format('%.0f', base.made), base.percent, checkpoint and 1 or 0, checkpoint or ''}
    for _, name in ipairs(COUNTERS) do
        row[#row + 1] = string.format('%.0f', base[name])
    end
    return row
end
for _, id in ipairs(call('ZRANGE', P .. 'points', 0, max - 1)) do
    local row = bytes < room and guard(id, point, id)
    if row then
        rows[#rows + 1] = row
        bytes = bytes + #row[6]
    end
end
return done(rows)
