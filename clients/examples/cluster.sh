#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A whole cluster on this machine, to try things out: Redis, MariaDB, three coordinators, four nodes.
#
#   cluster.sh BUILD     BUILD: where the project was built
#
# Runs until Ctrl-C. All it starts ends with it, whatever ends it; its files are in a temporary folder.
set -eu

program=cluster
build=$(cd "$1" && pwd)
. "$(dirname "$0")/daemons.sh"

coordinators=3
nodes=4

clean_up() {
    trap - EXIT
    trap '' HUP INT TERM
    stop_all
    [ -z "$work" ] || rm -rf "$work"
}

say_started() {
    printf '  %-14s pid %-8s %s\n' "$name" "$pid" "$1"
}

start_coordinators() {
    server=
    for i in $(seq $coordinators); do
        start_coordinator "coordinator-$i" --start-timeout $start_timeout_ms
        say_started "$url"
        server=$server${server:+,}$url
    done
}

start_nodes() {
    for i in $(seq $nodes); do
        start_node "node-$i" "$server"
        say_started "two slots"
    done
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
need "$dtfd" redis-server mariadbd mariadb-install-db setpriv
work=$(mktemp -d)
start_redis
say_started "redis-cli -s $work/redis.socket"
start_mariadb
say_started "mariadb -u root -S $work/mariadb.socket dtf"
start_coordinators
start_nodes
cat <<END

Talk to it from another terminal:

    export DTF_SERVER=$server
    seq 1000 | $build/bin/dtf map -k echo | tail -1
    $build/bin/dtf nodes

Kill what you like; what was acknowledged is done all the same. The logs are in $work. Ctrl-C stops everything.
END
wait
