#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The demonstration: checksums a tree on two nodes over TCP, kills one of them half way, checks the result with sha256sum.
#
#   demo.sh BUILD [DIR]     BUILD: where the project was built; DIR: default: the largest suitable tree of the system
#
# All it starts it stops; its files are in a temporary folder. Fails if anything is not as it should be.
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
dtfd=$build/bin/dtfd
plugin=$build/lib/checksum.so

files_per_subtask=8
files_min=2000
files_max=50000
bytes_max=2147483648
lease_ms=1000

work=
pids=
server=
quiet=

# ---- talking

die() {
    printf '%s\n' "demo: $*" >&2
    exit 1
}

row() {
    printf '  %-12s %s\n' "$1" "$2"
}

percent() {
    [ "$2" -gt 0 ] && echo $((($1 * 100 + $2 / 2) / $2)) || echo 0
}

megabytes() {
    echo "$(($1 / 1000000)).$(($1 / 100000 % 10)) MB"
}

seconds() {
    printf '%d.%03d s' $(($1 / 1000)) $(($1 % 1000))
}

# ---- starting and stopping

# Waits until a process has ended; not for ever.
stop_waiting() {
    tries=0
    while kill -0 "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 200 ]; then
            echo "demo: process $1 did not stop within 10 seconds: killed" >&2
            kill -9 "$1"
        fi
        sleep 0.05
    done
    wait "$1" 2>/dev/null || true
}

clean_up() {
    trap - EXIT
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        stop_waiting "$pid"
    done
    if [ "$work" ]; then
        [ "$quiet" ] || tail -n 20 "$work"/*.log >&2 2>/dev/null || true
        rm -rf "$work"
    fi
}

# start NAME ARGUMENT...: starts dtfd, waits until it is ready; its number is in $started then.
start() {
    log=$work/$1.log
    shift
    : >"$log"
    "$dtfd" "$@" >"$log" 2>&1 &
    started=$!
    pids="$pids $started"
    tries=0
    until grep -q '^ready$' "$log"; do
        kill -0 "$started" 2>/dev/null || die "dtfd did not start"
        tries=$((tries + 1))
        [ $tries -lt 200 ] || die "dtfd was not ready after 10 seconds"
        sleep 0.05
    done
}

start_node() {
    start "$1" --role executor --join "$server" --slots 2 --name "$1" --grace 2000 --plugin "$plugin"
}

start_victim() {
    victim=$1
    start_node "$victim"
    victim_pid=$started
}

start_all() {
    start coordinator --role coordinator --data "$work/data" --listen tcp://127.0.0.1:0 --node-lease "$lease_ms" \
        --plugin "$plugin"
    server=$(sed -n 's/^listening on //p' "$work/coordinator.log")
    start_node node-a
}

# ---- the tree

# measure DIR: how many files it has and how many bytes they have, in $files and $bytes.
measure() {
    files=$(find "$1" -xdev -type f -printf '%s\n' 2>/dev/null | awk '{ sum += $1 } END { printf "%d %.0f\n", NR, sum }')
    bytes=${files#* }
    files=${files% *}
}

choose_tree() {
    tree=
    most=-1
    for candidate in /usr/share/doc /usr/share/man /usr/share /usr/include /usr/lib/*-linux-gnu /usr/lib/gcc /usr/lib; do
        [ -d "$candidate" ] || continue
        measure "$candidate"
        if [ "$files" -ge $files_min ] && [ "$files" -le $files_max ] && [ "$bytes" -le $bytes_max ] &&
            [ "$bytes" -gt "$most" ]; then
            tree=$candidate most=$bytes
        fi
    done
    [ "$tree" ] || die "found no tree of $files_min to $files_max files; name one: ./run demo DIR"
}

take_tree() {
    [ -d "$1" ] || die "$1 is no directory"
    tree=$(cd "$1" && pwd)
}

# ---- the task

dtf() {
    "$build/bin/dtf" --server "$server" "$@"
}

# A string as protobuf's text format has it; every byte is written as a number.
quote() {
    printf '"%s"' "$(printf %s "$1" | od -An -v -to1 | tr -d '\n' | sed 's/ /\\/g')"
}

submit() {
    protoc -I"$examples" --encode=examples.checksum.v1.Task checksum/checksum.proto >"$work/param" <<END
root: $(quote "$tree")
manifest: $(quote "$work/manifest")
files_per_subtask: $files_per_subtask
one_file_system: true
END
    before_a=$(ask_node node-a settled)
    task=$(dtf submit --type checksum --name demo --param "@$work/param" --output quiet)
}

# field NAME: a number or word of $json, a flat object, in $value.
field() {
    value=${json#*"\"$1\":"}
    value=${value%%[,\}]*}
    value=${value#\"}
    value=${value%\"}
}

# ask_node NAME FIELD: what the coordinator says of a node; empty: it does not know it.
ask_node() {
    dtf nodes --output json | while read -r json; do
        field name
        [ "$value" = "$1" ] || continue
        field "$2"
        echo "$value"
    done
}

poll() {
    json=$(dtf status "$task" --output json)
    field status
    status=$value
    field generated
    generated=$value
    field succeeded
    succeeded=$value
    total=$(((files + files_per_subtask - 1) / files_per_subtask))
    [ "$generated" -le $total ] || total=$generated
}

# On a terminal one line that changes; otherwise a line for each tenth.
say_progress() {
    now=$(percent "$succeeded" "$total")
    if [ -t 1 ]; then
        printf '\r  %3d %%  %d of %d subtasks ' "$now" "$succeeded" "$total"
    elif [ $((now / 10)) -gt "$said" ]; then
        said=$((now / 10))
        printf '  %3d %%  %d of %d subtasks\n' "$now" "$succeeded" "$total"
    fi
}

kill_victim() {
    kill -9 "$victim_pid"
    wait "$victim_pid" 2>/dev/null || true
    pids=${pids%" $victim_pid"}
    poll
    killed=$(percent "$succeeded" "$total")
    say_progress
    [ ! -t 1 ] || echo
    echo "  $victim killed with kill -9 at $killed %; it held $(ask_node "$victim" running) subtasks"
}

# Follows the task to its end. The victim dies when half of the work is done.
follow() {
    said=-1
    killed=
    poll
    while [ "$status" = running ] || [ "$status" = created ]; do
        if [ -z "$killed" ] && [ $((succeeded * 2)) -ge "$total" ]; then
            kill_victim
        fi
        say_progress
        poll
    done
    say_progress
    [ ! -t 1 ] || echo
    field message
    [ "$status" = completed ] || die "the task ended as $status: $value"
}

# Once is enough, unless the tree was done before half of it was seen, or the victim held nothing at that moment.
hash_tree() {
    killed=none
    for name in node-b node-c node-d node-e node-f; do
        [ -z "$killed" ] || start_victim "$name"
        submit
        follow
        field redispatched
        redispatched=$value
        [ "$redispatched" = 0 ] && [ "$files" -ge $files_min ] || return 0
        echo "  The kill met no work: once more, with smaller subtasks."
        files_per_subtask=$(((files_per_subtask + 1) / 2))
    done
    die "a node could not be killed at work"
}

# ---- the result

verify() {
    lines=$(wc -l <"$work/manifest")
    unread=0
    if [ -e "$work/manifest.errors" ]; then
        unread=$(grep -cv '/: ' "$work/manifest.errors" || true)
        sed 's/^/  not read: /' "$work/manifest.errors"
    fi
    [ $((lines + unread)) = "$files" ] || die "the manifest has $lines files; find says there are $files, $unread unreadable"
    [ "$lines" = 0 ] || (cd "$tree" && sha256sum -c --quiet --strict "$work/manifest") || die "sha256sum disagrees"
}

# A node's line: what it did of all subtasks of the task.
share() {
    row "$1" "$2 subtasks ($(percent "$2" "$succeeded") %)${3:+, killed at $3 %}"
}

summarize() {
    field created_ms
    created=$value
    field finished_ms
    took=$((value - created))
    by_a=$(($(ask_node node-a settled) - before_a))
    echo
    row files "$lines of $files, as sha256sum -c confirms"
    row bytes "$(megabytes "$bytes")"
    row time "$(seconds $took)"
    row subtasks "$succeeded, $redispatched of them dispatched again"
    share node-a "$by_a"
    share "$victim" $((succeeded - by_a)) "$killed"
    [ "$killed" ] || row "" "No node was killed: the tree is too small to be met half way."
}

# ----

trap clean_up EXIT
trap 'quiet=1; exit 129' HUP
trap 'quiet=1; exit 130' INT
trap 'quiet=1; exit 143' TERM
for needed in "$dtfd" "$build/bin/dtf" "$plugin"; do
    [ -e "$needed" ] || die "$needed is not there: build it first"
done
if [ $# -gt 1 ]; then take_tree "$2"; else choose_tree; fi
measure "$tree"
work=$(mktemp -d)
echo "Checksums of the $files files in $tree ($(megabytes "$bytes")), on two nodes of two slots each:"
start_all
hash_tree
verify
summarize
quiet=1
