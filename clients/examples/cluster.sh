#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A whole cluster on this machine, to try things out: Redis, MariaDB, three coordinators, four nodes.
#
#   cluster.sh BUILD     BUILD: where the project was built
#
# Runs until Ctrl-C. All it starts ends with it, whatever ends it; its files are in a temporary folder.
set -eu

build=$(cd "$1" && pwd)
dtfd=$build/bin/dtfd
coordinators=3
nodes=4
start_timeout_ms=30000

work=
pids=

die() {
    printf '%s\n' "cluster: $*" >&2
    exit 1
}

# Those that were started last go first; each has ten seconds.
clean_up() {
    trap - EXIT
    trap '' HUP INT TERM
    for pid in $pids; do
        kill "$pid" 2>/dev/null || continue
        tries=0
        while kill -0 "$pid" 2>/dev/null; do
            tries=$((tries + 1))
            [ $tries -ne 200 ] || kill -9 "$pid"
            sleep 0.05
        done
    done
    [ -z "$work" ] || rm -rf "$work"
}

# start NAME COMMAND...: in the background, its output in NAME.log; it dies with this script.
start() {
    name=$1
    shift
    setpriv --pdeathsig KILL "$@" >"$work/$name.log" 2>&1 </dev/null &
    pids="$! $pids"
    pid=$!
}

# What a daemon says when it is ready; it waits for Redis and MariaDB by itself.
wait_until_ready() {
    tries=0
    until grep -q '^ready$' "$work/$name.log"; do
        tries=$((tries + 1))
        if [ $tries -gt $((start_timeout_ms / 50)) ] || ! kill -0 "$pid" 2>/dev/null; then
            tail -n 20 "$work"/*.log >&2
            die "$name did not start"
        fi
        sleep 0.05
    done
}

start_redis() {
    start redis redis-server --port 0 --unixsocket "$work/redis.socket" --dir "$work" --save '' \
        --appendonly yes --appendfsync everysec --maxmemory-policy noeviction
    redis_pid=$pid
    DTF_REDIS_URL=redis+unix://$work/redis.socket
}

start_mariadb() {
    echo 'CREATE DATABASE IF NOT EXISTS dtf;' >"$work/init.sql"
    user=$(id -un)
    mariadb-install-db --no-defaults --datadir="$work/mariadb" --user="$user" --skip-test-db \
        --auth-root-authentication-method=normal >"$work/install.log" 2>&1 || {
        cat "$work/install.log" >&2
        die "MariaDB's data folder could not be made"
    }
    start mariadb mariadbd --no-defaults --datadir="$work/mariadb" --user="$user" --socket="$work/mariadb.socket" \
        --pid-file="$work/mariadb.pid" --init-file="$work/init.sql" --skip-networking --skip-name-resolve \
        --innodb-flush-log-at-trx-commit=1
    mariadb_pid=$pid
    DTF_MYSQL_URL="mysql://root@/dtf?socket=$work/mariadb.socket"
}

start_coordinators() {
    server=
    for i in $(seq $coordinators); do
        start "coordinator-$i" "$dtfd" --role coordinator --listen tcp://127.0.0.1:0 --start-timeout $start_timeout_ms
        wait_until_ready
        url=$(sed -n 's/^listening on //p' "$work/$name.log")
        printf '  %-14s pid %-8s %s\n' "$name" "$pid" "$url"
        server=$server${server:+,}$url
    done
}

start_nodes() {
    for i in $(seq $nodes); do
        start "node-$i" "$dtfd" --role executor --join "$server" --slots 2 --name "node-$i"
        wait_until_ready
        printf '  %-14s pid %-8s %s\n' "$name" "$pid" "two slots"
    done
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
PATH=$PATH:/usr/sbin
for needed in "$dtfd" redis-server mariadbd mariadb-install-db setpriv; do
    command -v "$needed" >/dev/null || die "$needed is not there"
done
work=$(mktemp -d)
export DTF_REDIS_URL DTF_MYSQL_URL
start_redis
start_mariadb
printf '  %-14s pid %-8s %s\n' redis "$redis_pid" "redis-cli -s $work/redis.socket"
printf '  %-14s pid %-8s %s\n' mariadb "$mariadb_pid" "mariadb -u root -S $work/mariadb.socket dtf"
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
