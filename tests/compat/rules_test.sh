#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rules_test.sh PROTOC PROTO_COMPAT: a pair of small .proto files for each rule: what breaks, what does not.
set -u
protoc=$1 proto_compat=$2
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
checks=0 failures=0
head='syntax = "proto3"; package p;'

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

describe() { # OUT CONTENT
    printf '%s\n' "$2" >"$dir/t.proto"
    "$protoc" --include_imports -I"$dir" --descriptor_set_out="$dir/$1" t.proto 2>"$dir/stderr" ||
        fail "protoc: $(cat "$dir/stderr")"
}

# The whole of what is listed must be the lines wanted; none: nothing is broken.
compare() { # OLD NEW [LINE]
    describe old "$1"
    describe new "$2"
    "$proto_compat" "$dir/old" "$dir/new" >"$dir/got" 2>&1
    code=$?
    checks=$((checks + 1))
    [ "$(cat "$dir/got")" = "${3:-}" ] || fail "from '$1' to '$2': $(cat "$dir/got")"
    [ "$code" = "${3:+1}" ] || [ "$code$#" = 02 ] || fail "from '$1' to '$2': exit code $code"
}

field() { # OLD NEW [WHAT]: the field of message p.M
    compare "$head message M { $1 } message N {}" "$head message M { $2 } message N {}" ${3:+"t.proto: p.M$3"}
}

value() { # OLD NEW [WHAT]: the second value of enum p.E
    compare "$head enum E { Z = 0; $1 }" "$head enum E { Z = 0; $2 }" ${3:+"t.proto: p.E$3"}
}

method() { # OLD NEW [WHAT]: the method of service p.S
    compare "$head message M {} message N {} service S { $1 }" "$head message M {} message N {} service S { $2 }" \
        ${3:+"t.proto: p.S$3"}
}

# Nothing, and what is added.
field 'int32 a = 1;' 'int32 a = 1;'
field 'int32 a = 1;' 'int32 a = 1; string b = 2; oneof c { int32 d = 3; } reserved 9;'
field 'int32 a = 1;' 'int32 renamed = 1;'
value 'A = 1;' 'A = 1; B = 2; reserved 9;'
value 'A = 1;' 'RENAMED = 1;'
method 'rpc A(M) returns (N);' 'rpc A(M) returns (N); rpc B(N) returns (M);'

# Types.
field 'int32 a = 1;' 'string a = 1;' '.a: type changed from int32 to string'
field 'int32 a = 1;' 'sint32 a = 1;' '.a: type changed from int32 to sint32'
field 'int32 a = 1;' 'fixed32 a = 1;' '.a: type changed from int32 to fixed32'
field 'float a = 1;' 'fixed32 a = 1;' '.a: type changed from float to fixed32'
field 'double a = 1;' 'float a = 1;' '.a: type changed from double to float'
field 'bytes a = 1;' 'string a = 1;' '.a: type changed from bytes to string'
field 'M a = 1;' 'N a = 1;' '.a: type changed from p.M to p.N'
field 'M a = 1;' 'bytes a = 1;' '.a: type changed from p.M to bytes'
field 'map<int32, string> a = 1;' 'map<int32, M> a = 1;' '.AEntry.value: type changed from string to p.M'
field 'map<int32, string> a = 1;' 'map<bool, int64> renamed = 1;' '.AEntry.value: type changed from string to int64'
field 'map<string, M> a = 1;' 'repeated M a = 1;' '.a: type changed from map to p.M'
field 'map<int32, string> a = 1;' 'map<uint64, bytes> a = 1;'
field 'string a = 1;' 'bytes a = 1;'
for pair in 'int32 bool' 'bool uint64' 'uint32 int64' 'sint32 sint64' 'fixed32 sfixed32' 'sfixed64 fixed64'; do
    field "${pair% *} a = 1;" "${pair#* } a = 1;"
done
field 'enum E { Z = 0; A = 1; } enum F { Y = 0; } E a = 1;' 'enum E { Z = 0; A = 1; } enum F { Y = 0; } F a = 1;' \
    '.a: type changed from p.M.E to p.M.F'
compare "$head enum E { Z = 0; } message M { E a = 1; message N { enum E { Y = 0; X = 1; } } }" \
    "$head enum E { Z = 0; } message M { N.E a = 1; message N { enum E { Y = 0; X = 1; } } }"
compare "$head enum E { Z = 0; A = 2; } message M { E a = 1; message N { enum E { Y = 0; X = 1; } } }" \
    "$head enum E { Z = 0; A = 2; } message M { N.E a = 1; message N { enum E { Y = 0; X = 1; } } }" \
    't.proto: p.M.a: type changed from p.E to p.M.N.E'

# Labels.
field 'int32 a = 1;' 'repeated int32 a = 1;' '.a: label changed from singular to repeated'
field 'repeated M a = 1;' 'M a = 1;' '.a: label changed from repeated to singular'
field 'int32 a = 1;' 'optional int32 a = 1;'
field 'repeated int32 a = 1;' 'repeated int32 a = 1 [packed = false];'
compare 'syntax = "proto2"; message M { required int32 a = 1; }' 'syntax = "proto2"; message M { optional int32 a = 1; }' \
    't.proto: M.a: label changed from required to singular'

# Removed, used again, reserved.
field 'int32 a = 1; int32 b = 2;' 'int32 b = 2;' '.a: removed, and number 1 is not reserved'
field 'int32 a = 1; int32 b = 2;' 'int32 b = 2; reserved "a";' '.a: removed, and number 1 is not reserved'
field 'int32 a = 1; int32 b = 2;' 'int32 b = 2; reserved 1;'
field 'int32 a = 5; int32 b = 2;' 'int32 b = 2; reserved 4 to 6;'
field 'map<int32, int32> a = 1;' 'reserved 1;'
field 'int32 a = 1;' 'string b = 1;' '.a: number 1 is used again, for string b'
field 'int32 a = 1;' 'bool b = 1;' '.a: number 1 is used again, for bool b'
field 'reserved 1 to 5, 9;' 'reserved 1 to 4, 9;' ': 1 to 5 are no longer reserved'
field 'reserved 9;' 'int32 a = 9;' ': 9 to 9 are no longer reserved'
field 'reserved 1 to 5, 9;' 'reserved 6 to max, 1 to 2, 3 to 5;'
value 'A = 1;' '' '.A: removed, and number 1 is not reserved'
value 'A = 1;' 'A = 2;' '.A: removed, and number 1 is not reserved'
value 'A = 1;' 'reserved 1;'
value 'option allow_alias = true; A = 1; B = 1;' 'B = 1;'
value 'reserved 3 to 5;' 'reserved 3, 5;' ': 3 to 5 are no longer reserved'
value 'reserved -5 to -3;' 'reserved -9 to -3;'

# Oneofs.
field 'int32 a = 1;' 'oneof c { int32 a = 1; }' '.a: oneof changed from none to c'
field 'oneof c { int32 a = 1; }' 'int32 a = 1;' '.a: oneof changed from c to none'
field 'oneof c { int32 a = 1; int32 b = 2; }' 'oneof c { int32 a = 1; } oneof d { int32 b = 2; }' \
    '.b: oneof changed from c to d'
field 'oneof c { int32 a = 1; }' 'oneof c { int32 a = 1; int32 b = 2; }'

# Definitions.
compare "$head message M {} message N {}" "$head message N {}" 't.proto: p.M: message removed'
compare "$head message M { message N {} }" "$head message M {}" 't.proto: p.M.N: message removed'
compare "$head message M {}" "$head message Other {}" 't.proto: p.M: message removed'
compare "$head enum E { Z = 0; }" "$head" 't.proto: p.E: enum removed'
compare "$head service S {}" "$head service T {}" 't.proto: p.S: service removed'
compare "$head message M {} service S {} enum E { Z = 0; }" \
    'syntax = "proto3"; package q; message M {} service S {} enum E { Z = 0; }' 't.proto: p: package changed'

# Methods.
method 'rpc A(M) returns (N);' '' '.A: method removed'
method 'rpc A(M) returns (N);' 'rpc B(M) returns (N);' '.A: method removed'
method 'rpc A(M) returns (N);' 'rpc A(N) returns (N);' '.A: request changed from p.M to p.N'
method 'rpc A(M) returns (N);' 'rpc A(M) returns (M);' '.A: response changed from p.N to p.M'
method 'rpc A(M) returns (N);' 'rpc A(stream M) returns (N);' '.A: the request became a stream'
method 'rpc A(M) returns (stream N);' 'rpc A(M) returns (N);' '.A: the response is no longer a stream'

# Several at once, each on its line.
field 'int32 a = 1; int32 b = 2;' 'string a = 1;' '.a: type changed from int32 to string
t.proto: p.M.b: removed, and number 2 is not reserved'

# Inputs that are none.
describe old "$head"
: >"$dir/none"
"$proto_compat" "$dir/none" "$dir/old" >/dev/null 2>&1
[ $? = 2 ] || fail "took an empty file"
echo x >"$dir/none"
"$proto_compat" "$dir/none" "$dir/old" >/dev/null 2>&1
[ $? = 2 ] || fail "took a file that is no descriptor set"
"$proto_compat" "$dir/old" "$dir/missing" >/dev/null 2>&1
[ $? = 2 ] || fail "took a file that is not there"

echo "$checks pairs, $failures failures"
[ "$failures" = 0 ]
