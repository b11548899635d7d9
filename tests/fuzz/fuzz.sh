#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets with clang in build/fuzz and runs them: fuzz.sh [SECONDS [NAME...]]
#
# Each runs for SECONDS (default 60), beginning with its corpus here; what is new goes to build/fuzz/corpus-NAME. An input
# that fails stays as build/fuzz/crash-NAME-*, is named, and makes the exit code 1. Run it alone again:
# build/fuzz/bin/fuzz_NAME FILE.
set -eu
cd "$(dirname "$0")/../.."

seconds=${1:-60}
[ $# = 0 ] || shift
here=tests/fuzz
out=build/fuzz

build() {
    # Optimised, since speed counts; with the sanitizers and libFuzzer's counters in everything that is ours.
    [ -f "$out/build.ninja" ] || cmake -S . -B "$out" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_C_FLAGS=-O1 -DDTF_SANITIZE=fuzzer-no-link,address,undefined -DDTF_FUZZ=ON >/dev/null
    cmake --build "$out" --target fuzz_targets -- -j 2 --quiet
}

# Prints what libFuzzer says at its end: executions, counters reached and inputs kept.
summarize() {
    awk -v name="$1" '
        /stat::number_of_executed_units/ { execs = $2 }
        /stat::average_exec_per_sec/ { rate = $2 }
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
        END { printf "%-8s %10d execs %8d/s  cov %6d  inputs %s\n", name, execs, rate, cov, corp }' "$2"
}

# Leaks are looked for at the end: after every input would be slow where there are threads.
run() {
    name=$1 log=$out/fuzz-$1.log
    mkdir -p "$out/corpus-$name"
    if ! LSAN_OPTIONS="suppressions=$here/../lsan.supp:print_suppressions=0" \
        "$out/bin/fuzz_$name" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -max_len=4096 \
        -detect_leaks=0 -print_final_stats=1 -artifact_prefix="$out/crash-$name-" "$out/corpus-$name" "$here/corpus/$name" \
        >"$log" 2>&1; then
        grep -v '^#' "$log" | tail -n 60
        echo "fuzz: $name failed: $(grep -o "$out/crash-$name-[^ ]*" "$log" | tail -n 1) (all that it said: $log)"
        return 1
    fi
    summarize "$name" "$log"
}

build
[ $# -gt 0 ] || for source in "$here"/*_fuzz.c; do
    set -- "$@" "$(basename "$source" _fuzz.c)"
done
failed=
for target; do
    run "$target" || failed="$failed $target"
done
[ -z "$failed" ] || {
    echo "fuzz: failed:$failed"
    exit 1
}
