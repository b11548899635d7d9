#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# record.sh [OUT]: describes all .proto files under proto/, with what they import; OUT defaults to recorded.binpb.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/recorded.binpb}
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$here/.."
find . -name '*.proto' | sed 's,^\./,,' | LC_ALL=C sort |
    xargs "${PROTOC:-protoc}" -I. --include_imports --descriptor_set_out="$out"
