#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# format_test.sh: what protoc-gen-nrpc writes is what clang-format would make of it.
# usage: format_test.sh <.clang-format file> <directory of generated files>...
command -v clang-format >/dev/null || exit 77
style=$1
shift
# Some names in names.proto are wider than a line.
files=$(find "$@" -name '*.nrpc.[ch]' ! -name 'names.nrpc.?')
[ "$files" ] || exit 1
# shellcheck disable=SC2086 # the names are to be split
clang-format --style=file:"$style" --dry-run --Werror $files
