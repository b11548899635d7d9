-- SPDX-License-Identifier: Apache-2.0
-- feed.lua: queues what is new of what a client feeds.
-- arguments: task, at, finish, batch
-- returns: how many were fed; NOT_FOUND, ABORTED, OUT_OF_RANGE, FAILED_PRECONDITION, RESOURCE_EXHAUSTED
local id, at, finish = text(), number(), number()
local batch, t = batch_read(), task_find(id)
if not t then
    return fail(NOT_FOUND, 'task %s is not under way', id)
end
local known = math.min(math.max(t.made - at, 0), batch.count)
local new = batch.count - known
local repeated = t.done == 1 and new == 0
if t.fed == 0 then
    return fail(FAILED_PRECONDITION, 'task %s has a generator, it cannot be fed', id)
end
if t.phase >= STOPPING and not repeated then
    return fail(ABORTED, 'task %s is %s', id, PHASES[t.phase])
end
if at > t.made then
    return fail(OUT_OF_RANGE, 'feeding task %s at %.0f leaves a gap: %.0f were fed', id, at, t.made)
end
if repeated or (new == 0 and finish == 0) then
    return done(string.format('%.0f', t.made))
end
if t.done == 1 then
    return fail(FAILED_PRECONDITION, 'task %s was finished at %.0f subtasks', id, t.made)
end
if new > 0 and fresh(t) >= QUEUE_HIGH then
    return fail(RESOURCE_EXHAUSTED, 'the queue of task %s is full: %.0f subtasks', id, fresh(t))
end
if new > 0 and queue_full(t) then
    return fail(RESOURCE_EXHAUSTED, 'the queue of task %s is full: %.0f bytes of large parameters', id, t.bytes)
end
t.changed, t.done = true, finish
for first = known, batch.count - 1, SEGMENT_SUBTASKS do
    local segment, last = segment_open(t), math.min(first + SEGMENT_SUBTASKS, batch.count)
    task_append(t, batch, first, last, t.segment)
    t.made = t.made + last - first
    segment.made = t.made
end
return done(string.format('%.0f', t.made))
