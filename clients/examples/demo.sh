#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The demonstration: checksums a tree, kills some of those who do it, checks the result with sha256sum. demo_one.sh says on what
# and whom; with --cluster, demo_cluster.sh.
#
#   demo.sh BUILD [--cluster] [DIR]     BUILD: where the project was built; DIR: default: the largest suitable tree of the
#                                       system
#
# All it starts it stops; its files are in a temporary folder. Fails if anything is not as it should be.
set -eu

program=demo
examples=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
shift
. "$examples/daemons.sh"
plugin=$build/lib/checksum.so

files_per_subtask=8
files_min=2000
files_max=50000
bytes_max=2147483648
lease_ms=1000
status_tries=300

server= # whom to ask
entry=  # who is given the task
quiet=

# ---- talking

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

clean_up() {
    trap - EXIT
    stop_all
    if [ "$work" ]; then
        [ "$quiet" ] || tail -n 20 "$work"/*.log >&2 2>/dev/null || true
        rm -rf "$work"
    fi
}

start_worker() {
    start_node "$1" "$server" --grace 2000 --plugin "$plugin"
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
    task=$("$build/bin/dtf" --server "$entry" submit --type checksum --name demo --param "@$work/param" --output quiet)
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

# While a store is away there is no answer; not for ever.
poll() {
    tries=0
    until json=$(dtf status "$task" --output json 2>"$work/status.log"); do
        tries=$((tries + 1))
        [ $tries -lt $status_tries ] || die "the task's status cannot be read: $(cat "$work/status.log")"
        sleep 0.1
    done
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

# say_strike TEXT...: what was done to the daemons, and how far the task was.
say_strike() {
    poll
    struck=$(percent "$succeeded" "$total")
    say_progress
    [ ! -t 1 ] || echo
    echo "  $* at $struck %"
}

# Follows the task to its end; `strike` does what is due.
follow() {
    said=-1
    poll
    while [ "$status" = running ] || [ "$status" = created ]; do
        strike
        say_progress
        poll
    done
    say_progress
    [ ! -t 1 ] || echo
    field message
    [ "$status" = completed ] || die "the task ended as $status: $value"
}

# Once is enough, unless the tree was done before all was struck, or the struck held nothing at that moment.
hash_tree() {
    for round in 1 2 3 4 5; do
        prepare "$round"
        submit
        follow
        field redispatched
        redispatched=$value
        if [ "$files" -lt $files_min ] || { [ "$redispatched" != 0 ] && all_struck; }; then
            return 0
        fi
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
    [ -z "$(sort "$work/manifest" | uniq -d)" ] || die "the manifest lists a file twice"
    [ "$lines" = 0 ] || (cd "$tree" && sha256sum -c --quiet --strict "$work/manifest") || die "sha256sum disagrees"
}

summarize() {
    field created_ms
    created=$value
    field finished_ms
    took=$((value - created))
    echo
    row files "$lines of $files, as sha256sum -c confirms"
    row bytes "$(megabytes "$bytes")"
    row time "$(seconds $took)"
    row subtasks "$succeeded, $redispatched of them dispatched again"
    say_struck
    all_struck || row "" "Not all was killed: the tree is too small to be met half way."
}

# ----

trap clean_up EXIT
trap 'quiet=1; exit 129' HUP
trap 'quiet=1; exit 130' INT
trap 'quiet=1; exit 143' TERM
variant=demo_one
if [ "${1-}" = --cluster ]; then
    variant=demo_cluster
    shift
fi
. "$examples/$variant.sh"
need "$dtfd" "$build/bin/dtf" "$plugin" setpriv
if [ $# -gt 0 ]; then take_tree "$1"; else choose_tree; fi
measure "$tree"
work=$(mktemp -d)
echo "Checksums of the $files files in $tree ($(megabytes "$bytes")), $about:"
start_all
hash_tree
verify
summarize
quiet=1
