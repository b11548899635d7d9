# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh: three coordinators over Redis and MariaDB, four nodes. The coordinator that was given the task is killed,
# then a node, then Redis, which is started again on what it had written.

about="on three coordinators and four nodes, over Redis and MariaDB"
need redis-server mariadbd mariadb-install-db

start_member() {
    start_coordinator "$1" --node-lease "$lease_ms" --start-timeout $start_timeout_ms --plugin "$plugin"
    server=$url${server:+,}$server
}

start_all() {
    start_redis
    start_mariadb
    for i in 1 2; do
        start_member "coordinator-$i"
    done
    for i in 1 2 3; do
        start_worker "node-$i"
    done
    strikes=3
}

# What was killed last time is replaced.
prepare() {
    if [ $strikes -ge 1 ]; then
        start_member "coordinator-$(($1 + 2))"
        entry=$url first=$name
    fi
    if [ $strikes -ge 2 ]; then
        start_worker "node-$(($1 + 3))"
        victim=$name
    fi
    strikes=0 struck_at=
}

is_at() {
    [ $((succeeded * 100)) -ge $(($1 * total)) ]
}

strike() {
    case $strikes in
    0) is_at 30 || return 0
       kill_hard "$first"
       say_strike "$first, which was given the task, killed with kill -9" ;;
    1) is_at 50 || return 0
       kill_hard "$victim"
       say_strike "$victim, which held $(ask_node "$victim" running) subtasks, killed with kill -9" ;;
    2) is_at 70 || return 0
       kill_hard redis
       start_redis
       say_strike "Redis killed with kill -9 and started again" ;;
    *) return 0 ;;
    esac
    strikes=$((strikes + 1))
    struck_at="$struck_at${struck_at:+, }$struck %"
}

all_struck() {
    [ $strikes = 3 ]
}

say_struck() {
    [ -z "$struck_at" ] || row killed "a coordinator, a node, Redis; at $struck_at"
}
