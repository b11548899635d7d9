#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# header_test.sh: each generated header stands alone, in C and in C++.
# usage: header_test.sh <include directory of nrpc> <directory of generated files>...
command -v c++ >/dev/null || exit 77
flags=-I$1
shift
for dir; do
    flags="$flags -I$dir"
done
headers=$(find "$@" -name '*.nrpc.h')
[ "$headers" ] || exit 1
for header in $headers; do
    for language in c c++; do
        # shellcheck disable=SC2086 # the flags are to be split
        printf '#include "%s"\n' "$header" |
            c++ -x $language $flags -Wall -Wextra -Werror -fsyntax-only - || exit 1
    done
done
