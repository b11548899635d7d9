-- SPDX-License-Identifier: Apache-2.0
-- ruin.lua: takes a task out of the state whose damage the caller has found in an answer.
-- arguments: task, what is damaged
-- returns: nothing
task_ruin(text(), text())
return done()
