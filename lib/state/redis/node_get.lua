-- SPDX-License-Identifier: Apache-2.0
-- node_get.lua: one node.
-- arguments: node, session
-- returns: as nodes.lua, one row; NOT_FOUND
local node, session = number(), text()
local until_ms = call('ZSCORE', P .. 'nodes', node)
if not until_ms or not node_is(node, session) then
    return fail(NOT_FOUND, 'node %.0f is not registered, or its lease has ended', node)
end
local row, wrong = node_row(string.format('%.0f', node), until_ms)
if not row then
    return fail(NOT_FOUND, 'node %.0f must register again: %s', node, wrong)
end
return done({row})
