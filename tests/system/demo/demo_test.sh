#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo_test.sh BUILD [--cluster]: the demonstration kills what it is to, checks the result, and leaves nothing behind; it fails
# when it should.
set -eu

build=$1
variant=${2-}
demo=$(dirname "$0")/../../../clients/examples/demo.sh
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
export TMPDIR="$top/tmp"
mkdir "$TMPDIR"

fail() {
    printf '%s\n' "demo_test: $*" >&2
    cat "$top/out" >&2
    exit 1
}

# expect CODE DIR: runs the demonstration; its output is in $top/out.
expect() {
    code=0
    "$demo" "$build" ${variant:+"$variant"} "$2" >"$top/out" 2>&1 || code=$?
    [ $code = "$1" ] || fail "exit code $code instead of $1 for $2"
    [ -z "$(ls -A "$TMPDIR")" ] || fail "files are left in the temporary folder"
    ! pgrep -f "$TMPDIR" >/dev/null || fail "a daemon is left"
}

contains() {
    grep -q -- "$1" "$top/out" || fail "\"$1\" is missing in what it printed"
}

# 2,400 files of 512 KiB, nearly all of it holes: long to hash, so that there is time to kill a node, and small on
# the disk; in directories whose names need care.
make_tree() {
    for directory in plain 'with space' 'back\slash' 'new
line'; do
        mkdir -p "$top/large tree/$directory"
        seq 600 | split -l 1 -a 3 - "$top/large tree/$directory/file "
        truncate -s 512K "$top/large tree/$directory"/*
    done
}

make_tree
expect 0 "$top/large tree"
contains 'killed with kill -9 at'
[ -z "$variant" ] || contains 'Redis killed with kill -9 and started again at'
contains '2400 of 2400, as sha256sum -c confirms'
! grep -q ' 0 of them dispatched again' "$top/out" || fail "nothing was dispatched again"

mkdir "$top/small"
echo content >"$top/small/one"
expect 0 "$top/small"
contains '1 of 1, as sha256sum -c confirms'

expect 1 "$top/missing"
contains 'is no directory'
