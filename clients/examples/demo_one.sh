# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh: one coordinator with its stores in a folder, two nodes; one of the nodes is killed half way.

about="on two nodes of two slots each"

start_all() {
    start_coordinator coordinator --data "$work/data" --node-lease "$lease_ms" --plugin "$plugin"
    server=$url entry=$url
    start_worker node-1
    killed=none
}

prepare() {
    if [ "$killed" ]; then
        victim=node-$(($1 + 1))
        start_worker "$victim"
    fi
    killed=
    before=$(ask_node node-1 settled)
}

strike() {
    if [ -z "$killed" ] && [ $((succeeded * 2)) -ge "$total" ]; then
        kill_hard "$victim"
        say_strike "$victim, which held $(ask_node "$victim" running) subtasks, killed with kill -9"
        killed=$struck
    fi
}

all_struck() {
    [ "$killed" ]
}

# A node's line: what it did of all subtasks of the task.
share() {
    row "$1" "$2 subtasks ($(percent "$2" "$succeeded") %)${3:+, killed at $3 %}"
}

say_struck() {
    by_first=$(($(ask_node node-1 settled) - before))
    share node-1 "$by_first"
    share "$victim" $((succeeded - by_first)) "$killed"
}
