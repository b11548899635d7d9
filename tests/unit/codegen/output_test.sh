#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# output_test.sh: what protoc-gen-nrpc writes and what it refuses, run through protoc and by itself.
# usage: output_test.sh <protoc> <protoc-gen-nrpc> -I<directory of .proto files>...
set -u
protoc=$1 plugin=$2
shift 2
imports=$*
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

generate() { # generate <protoc argument>...
    # shellcheck disable=SC2086 # the flags are to be split
    "$protoc" --plugin=protoc-gen-nrpc="$plugin" $imports -I"$out" --nrpc_out="$out" "$@" 2>"$out/stderr"
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

# Refusals: of names,
refuses 'errors/method_clash.proto:11:3: bad.v1.Web.GetUrl: its C name BAD_V1_WEB_GET_URL is also that of bad.v1.Web.GetURL' \
    errors/method_clash.proto
refuses 'errors/stub_clash.proto:11:3: bad.v1.Web.GetAsync: its C name bad_v1_web_get_async is also that of bad.v1.Web.Get' \
    errors/stub_clash.proto
refuses 'errors/stream_clash.proto:12:3: bad.v1.Web.GetRead: its C name bad_v1_web_get_read is also that of bad.v1.Web.Get' \
    errors/stream_clash.proto
refuses 'errors/service_clash.proto:13:1: bad.v1.WebApi: its C name bad_v1_web_api is also that of bad.v1.WebAPI' \
    errors/service_clash.proto
refuses 'errors/message_clash.proto:9:1: bad.v1.A_Box: its C name Bad__V1__ABox is also that of bad.v1.ABox' \
    errors/message_clash.proto
refuses 'errors/import_clash.proto:9:1: shop.common.money: its C name Shop__Common__Money is also that of shop.common.Money' \
    errors/import_clash.proto
refuses 'errors/enum_clash.proto:11:3: bad.v1.Color.red: its C name Bad__V1__Color__Red is also that of bad.v1.Color.Red' \
    errors/enum_clash.proto
refuses 'errors/field_clash.proto:9:3: bad.v1.M.n_items: its C name n_items is also that of bad.v1.M.items' \
    errors/field_clash.proto
refuses "errors/base_clash.proto:8:3: bad.v1.M.base: its C name base is also that of protobuf-c's own member, see (pb_c_msg).base_field_name" \
    errors/base_clash.proto
refuses 'errors/word.proto:9:3: bad.v1.M.unix: its C name unix is a word of C' errors/word.proto

# of messages without end,
refuses 'errors/self_request.proto:12:3: bad.v1.Web.Get: its request bad.v1.Node cannot be sent: bad.v1.Node contains itself' \
    errors/self_request.proto
refuses 'errors/self_response.proto:24:3: bad.v1.Web.Get: its response bad.v1.M cannot be sent: bad.v1.Outer contains itself' \
    errors/self_response.proto
refuses 'errors/struct.proto:14:3: bad.v1.Web.Get: its request bad.v1.M cannot be sent: google.protobuf.Struct contains itself' \
    errors/struct.proto
nest() { # nest <how many messages>
    {
        printf 'syntax = "proto3";\nservice Web { rpc Get(M1) returns (M1); }\nmessage M%d {}\n' "$1"
        i=1
        while [ $i -lt "$1" ]; do
            printf 'message M%d { M%d m = 1; }\n' $i $((i + 1))
            i=$((i + 1))
        done
    } >"$out/deep.proto"
}
nest 101
refuses 'deep.proto:2:15: Web.Get: its request M1 cannot be sent: it nests more than 100 messages' deep.proto
nest 100
generate deep.proto || fail "100 messages in one another: $(cat "$out/stderr")"
rm "$out"/deep.nrpc.*

# of other things.
refuses 'errors/role.proto:12:3: bad.v1.Web.Get: a role is 1 to 100 of letters, digits and _-.:/@+, and not "not fine"' \
    errors/role.proto
refuses 'errors/group.proto:8:3: M.old: protobuf-c has no groups' errors/group.proto
refuses 'unknown parameter "fast=1": protoc-gen-nrpc takes none' --nrpc_opt=fast=1 bare.proto
printf 'syntax = "proto3";\n' >"$out/quo\"te.proto"
refuses 'quo"te.proto: a file'\''s name must not have quotes, backslashes or control characters' 'quo"te.proto'
generate errors/import.proto && fail "a missing import was accepted"
grep -qxF 'errors/import.proto:5:1: Import "nowhere/to_be_found.proto" was not found or had errors.' "$out/stderr" ||
    fail "a missing import: said '$(cat "$out/stderr")'"

# Input that is not from protoc.
not_a_request='not a CodeGeneratorRequest'
rejects_input 'empty input' "$not_a_request" </dev/null
printf 'garbage\377\377\377' | rejects_input 'garbage' "$not_a_request"
printf '\172\005abc' | rejects_input 'a field cut short' "$not_a_request"
printf '\012\007a.proto' | rejects_input 'a file that is not there' "$not_a_request"
printf '\012\001a\172\003\012\001a' | "$plugin" >/dev/null || fail 'the smallest request was refused'
for bytes in 1 10 100 1000; do
    # shellcheck disable=SC2086
    "$protoc" --include_source_info --include_imports $imports --descriptor_set_out="$out/set" names.proto
    head -c $bytes "$out/set" | rejects_input "another message, cut after $bytes" "$not_a_request"
done

# A file without services has both outputs all the same.
generate shop/common.proto shop/v1/order.proto || fail "order.proto: $(cat "$out/stderr")"
contains shop/common.nrpc.h '#include "shop/common.pb-c.h"'
contains shop/common.nrpc.c '#include "shop/common.nrpc.h"'
contains shop/v1/order.nrpc.c '#include "shop/common.nrpc.h"'
contains shop/v1/order.nrpc.c '    &nrpc_file_shop_2fcommon,'

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
