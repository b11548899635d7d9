-- SPDX-License-Identifier: Apache-2.0
-- node_return.lua: what a node holds goes back to the queue, but for what it says it has; and the node goes, if asked.
-- arguments: node, session, 1 if the node goes, count; each: task, tile, attempt, mask
-- returns: masks of what it keeps; tasks of that that are stopping; NOT_FOUND
local node, session, goes = number(), text(), number()
local held = holding_read()
if not call('ZSCORE', P .. 'nodes', node) or not node_is(node, session) then
    return fail(NOT_FOUND, 'node %.0f is not registered', node)
end
make_room()
holding_take(held, node, node)
local answer = done(holding_answer(held))
if goes == 1 then
    node_forget(node)
end
return answer
