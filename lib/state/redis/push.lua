-- SPDX-License-Identifier: Apache-2.0
-- push.lua: queues what a generator made, with its checkpoint, in one step.
-- arguments: task, fence, at, done, percent, whether there is a checkpoint, checkpoint, batch
-- returns: fresh subtasks, bytes of their large params; NOT_FOUND, ABORTED
local id, fence, at, over, percent = text(), number(), number(), number(), number()
local has_checkpoint, checkpoint = number(), text()
local batch, t = batch_read(), task_find(id)
if not t then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
if t.phase ~= GENERATING then
    return fail(ABORTED, 'task %s is %s, its generation is over', id, PHASES[t.phase])
end
if t.owner == '0' or t.fence ~= fence then
    return fail(ABORTED, 'the claim of task %s under fence %.0f is lost', id, fence)
end
if batch.count > 0 and at + batch.count == t.made then
    return done(fresh(t), string.format('%.0f', t.bytes)) -- it was done before
end
if t.paused == 1 then
    return fail(ABORTED, 'task %s is paused', id)
end
if at ~= t.made then
    return fail(ABORTED, 'a push to task %s at %.0f, but %.0f were pushed', id, at, t.made)
end
local segment = segment_open(t)
task_append(t, batch, 0, batch.count, t.segment)
t.changed, t.made, t.done, t.percent = true, t.made + batch.count, over, percent
segment.made, segment.percent = t.made, percent
if has_checkpoint == 1 then
    call('HSET', P .. 'c:' .. id, t.segment, checkpoint)
    t.checkpoint, segment.checkpoint = t.segment, 1
end
return done(fresh(t), string.format('%.0f', t.bytes))
