#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# output_test.sh: what protoc-gen-nrpc writes and what it refuses, run through protoc and by itself.
# usage: output_test.sh <protoc> <protoc-gen-nrpc> <directory of .proto files>
set -u
protoc=$1 plugin=$2 protos=$3
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

generate() { # generate <protoc argument>...
    "$protoc" --plugin=protoc-gen-nrpc="$plugin" -I"$protos" --nrpc_out="$out" "$@" 2>"$out/stderr"
}

refuses() { # refuses <message> <protoc argument>...
    want="--nrpc_out: $1"
    shift
    generate "$@" && fail "$*: was accepted"
    [ "$(cat "$out/stderr")" = "$want" ] || fail "$*: said '$(cat "$out/stderr")', not '$want'"
    [ -z "$(find "$out" -name '*.nrpc.*')" ] || fail "$*: left files"
}

contains() { # contains <file> <line>
    grep -qxF -e "$2" "$out/$1" || fail "$1 has no line '$2'"
}

rejects_input() { # rejects_input <what> <message>   (the bytes on stdin)
    "$plugin" >"$out/stdout" 2>"$out/stderr"
    code=$?
    [ $code -eq 1 ] || fail "$1: exit code $code"
    [ -s "$out/stdout" ] && fail "$1: wrote to stdout"
    grep -q "^protoc-gen-nrpc: .*$2" "$out/stderr" || fail "$1: said '$(cat "$out/stderr")'"
}

# Refusals.
refuses 'errors/server_stream.proto: bad.v1.Feed.Watch: streaming methods are not supported yet' \
    errors/server_stream.proto
refuses 'errors/client_stream.proto: Feed.Upload: streaming methods are not supported yet' errors/client_stream.proto
refuses 'errors/method_clash.proto: bad.v1.Web.GetUrl: its C name BAD_V1_WEB_GET_URL is also that of bad.v1.Web.GetURL' \
    errors/method_clash.proto
refuses 'errors/stub_clash.proto: bad.v1.Web.GetAsync: its C name bad_v1_web_get_async is also that of bad.v1.Web.Get' \
    errors/stub_clash.proto
refuses 'errors/service_clash.proto: bad.v1.WebApi: its C name bad_v1_web_api is also that of bad.v1.WebAPI' \
    errors/service_clash.proto
refuses 'unknown parameter "fast=1": protoc-gen-nrpc takes none' --nrpc_opt=fast=1 bare.proto
generate errors/optional.proto && fail "proto3 optional was accepted"
grep -q "optional" "$out/stderr" || fail "proto3 optional: said '$(cat "$out/stderr")'"

# Input that is not from protoc.
not_a_request='not a CodeGeneratorRequest'
rejects_input 'empty input' "$not_a_request" </dev/null
printf 'garbage\377\377\377' | rejects_input 'garbage' "$not_a_request"
printf '\172\005abc' | rejects_input 'a field cut short' "$not_a_request"
printf '\012\007a.proto' | rejects_input 'a file that is not there' "$not_a_request"
printf '\012\001a\172\003\012\001a' | "$plugin" >/dev/null || fail 'the smallest request was refused'
for bytes in 1 10 100 1000; do
    "$protoc" --include_source_info --include_imports -I"$protos" --descriptor_set_out="$out/set" names.proto
    head -c $bytes "$out/set" | rejects_input "another message, cut after $bytes" "$not_a_request"
done

# A file without services has both outputs all the same.
generate shop/common.proto shop/v1/order.proto || fail "order.proto: $(cat "$out/stderr")"
contains shop/common.nrpc.h '#include "shop/common.pb-c.h"'
contains shop/common.nrpc.c '#include "shop/common.nrpc.h"'

# Comments go along.
contains shop/v1/order.nrpc.h '// Takes orders.'
contains shop/v1/order.nrpc.h '// Orders are final; the path C:\orders\ is not a continuation'
contains shop/v1/order.nrpc.h '    // Creates an order.'
contains shop/v1/order.nrpc.h '    // Answers its id. */ /*'
contains shop/v1/order.nrpc.h '// Creates an order.'
contains shop/v1/order.nrpc.h '    // Finds one line'
contains shop/v1/order.nrpc.h '    // of an order.'

generate names.proto bare.proto || fail "two files in one run: $(cat "$out/stderr")"

[ $failures -eq 0 ]
