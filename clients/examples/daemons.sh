# SPDX-License-Identifier: Apache-2.0
# Sourced by cluster.sh and demo.sh: starts and stops daemons and servers; their logs are in $work, a temporary folder.
#
# The caller sets $program (its name, for messages) and $build. All that is started dies with the script.

dtfd=$build/bin/dtfd
start_timeout_ms=30000
stop_tries=200 # of 50 ms each

work=
pids=

die() {
    printf '%s\n' "$program: $*" >&2
    exit 1
}

# need FILE...: programs that must be there.
need() {
    PATH=$PATH:/usr/sbin
    for needed; do
        command -v "$needed" >/dev/null || [ -e "$needed" ] || die "$needed is not there: build or install it first"
    done
}

pid_of() {
    cat "$work/$1.pid"
}

# Waits until a process has ended; not for ever.
stop_waiting() {
    tries=0
    while kill -0 "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt $stop_tries ]; then
            echo "$program: process $1 did not stop in time: killed" >&2
            kill -9 "$1"
        fi
        sleep 0.05
    done
    wait "$1" 2>/dev/null || true
}

# Those that were started last go first.
stop_all() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || continue
        stop_waiting "$pid"
    done
    pids=
}

# kill_hard NAME
kill_hard() {
    pid=$(pid_of "$1")
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    kept=
    for other in $pids; do
        [ "$other" = "$pid" ] || kept="$kept $other"
    done
    pids=$kept
}

# start NAME COMMAND...: in the background; $name and $pid are its own then.
start() {
    name=$1
    shift
    setpriv --pdeathsig KILL "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    pids="$pid $pids"
    echo "$pid" >"$work/$name.pid"
}

# What a daemon says when it is ready; it waits for its servers by itself.
wait_until_ready() {
    tries=0
    until grep -qs '^ready$' "$work/$name.log"; do
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
    export DTF_REDIS_URL="redis+unix://$work/redis.socket"
}

start_mariadb() {
    echo 'CREATE DATABASE IF NOT EXISTS dtf;' >"$work/init.sql"
    user=$(id -un)
    export TMPDIR="$work" # MariaDB deletes what others have in theirs
    mariadb-install-db --no-defaults --datadir="$work/mariadb" --user="$user" --skip-test-db --force \
        --auth-root-authentication-method=normal >"$work/install.log" 2>&1 || {
        cat "$work/install.log" >&2
        die "MariaDB's data folder could not be made"
    }
    start mariadb mariadbd --no-defaults --datadir="$work/mariadb" --user="$user" --socket="$work/mariadb.socket" \
        --pid-file="$work/mariadb.server-pid" --init-file="$work/init.sql" --skip-networking --skip-name-resolve \
        --innodb-flush-log-at-trx-commit=1
    export DTF_MYSQL_URL="mysql://root@/dtf?socket=$work/mariadb.socket"
}

# start_coordinator NAME ARGUMENT...: of dtfd; its url is in $url then.
start_coordinator() {
    coordinator=$1
    shift
    start "$coordinator" "$dtfd" --role coordinator --listen tcp://127.0.0.1:0 "$@"
    wait_until_ready
    url=$(sed -n 's/^listening on //p' "$work/$name.log")
}

# start_node NAME SERVERS ARGUMENT...
start_node() {
    node=$1 servers=$2
    shift 2
    start "$node" "$dtfd" --role executor --join "$servers" --slots 2 --name "$node" "$@"
    wait_until_ready
}
