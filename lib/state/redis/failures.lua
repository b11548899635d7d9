-- SPDX-License-Identifier: Apache-2.0
-- failures.lua: subtasks that failed for good.
-- arguments: task, after, max
-- returns: items, the first at position after + 1
local id, after, max, out, bytes = text(), number(), number(), {}, 0
local key = P .. 'f:' .. id
task_find(id)
while #out < max and bytes < BATCH_BYTES do
    local more = call('LRANGE', key, after + #out, after + #out + math.min(64, max - #out) - 1)
    for _, item in ipairs(more) do
        if bytes < BATCH_BYTES then
            out[#out + 1] = item
            bytes = bytes + #item
        end
    end
    if #more == 0 then
        break
    end
end
return done(out)
