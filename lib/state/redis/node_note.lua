-- SPDX-License-Identifier: Apache-2.0
-- node_note.lua: keeps what there is to be told of nodes; those that are not registered are passed over.
-- arguments: count; each: id, usable slots, what it is short of, why it is in quarantine; empty: it is not
-- returns: nothing
for _ = 1, number() do
    local id, usable, short_of, quarantine = text(), number(), text(), text()
    if call('ZSCORE', P .. 'nodes', id) then
        if short_of == '' and quarantine == '' then
            pcall(call, 'HDEL', P .. 'n:' .. id, unpack(NOTE))
        else
            pcall(call, 'HSET', P .. 'n:' .. id, 'usable', usable, 'short_of', short_of, 'quarantine', quarantine)
        end
    end
end
return done()
