#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# map_test.sh DTF: the command map, embedded: what it prints, how it fails, and that no item's bytes get lost or run loose.
dtf=$1
unset DTF_SERVER
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0

# expect NAME EXIT_CODE: what the last command left in $code, ./out and ./err, against EXIT_CODE, ./out.expected and
# ./err.expected (what is not there is not looked at).
expect() {
    if [ "$code" != "$2" ]; then echo "$1: exit code $code, not $2"; cat err; failures=$((failures + 1)); fi
    for stream in out err; do
        if [ -e $stream.expected ] && ! cmp $stream $stream.expected; then
            echo "$1: $stream is"; cat -v $stream; failures=$((failures + 1))
        fi
    done
    rm -f out.expected err.expected
}
set -o pipefail

# ---- names that are hard to carry, each a file with its own name as contents
names=('sp ace' "q'uote" 'dou"ble' $'new\nline' $'tab\t' $'inv\xff\xfealid' $'esc\e[31m' '$(touch loose)' '`touch loose`'
       '; touch loose' '-n' '{}' '*' '\\' $'\xf0\x9f\xa6\x8a' ' ' '&& touch loose')
mkdir files
for name in "${names[@]}"; do printf '%s' "$name" > "files/$name"; done
(cd files && printf '%s\0' "${names[@]}" | "$dtf" map -0 -k cat --) > out 2> err; code=$?
printf '%s' "${names[@]}" > out.expected; : > err.expected; expect 'hard names are found' 0
printf '%s\0' "${names[@]}" | "$dtf" map -0 -k printf '%s|%s' '<{}>' > out 2> err; code=$?
for name in "${names[@]}"; do printf '<%s>|' "$name"; done > out.expected; expect 'hard names are put in' 0
find files -type f -print0 | "$dtf" map -0 sha256sum -b 2> err | sort > out; code=$?
find files -type f -print0 | xargs -0 sha256sum -b | sort > out.expected; expect 'hard names as xargs has them' 0
if [ -e loose ] || [ -e files/loose ]; then echo 'a name was run'; failures=$((failures + 1)); fi

# ---- output
seq 500 | "$dtf" map -k -j8 sh -c 'echo $1; echo $1' sh > out 2> err; code=$?
seq 500 | sed p > out.expected; : > err.expected; expect 'order is kept' 0
seq 100 | "$dtf" map -j8 sh -c 'for i in 1 2 3 4; do echo $1; sleep 0.00$((RANDOM % 5)); done' sh 2> err | uniq -c |
    grep -vc '^ *4 ' > out; code=$?
echo 0 > out.expected; expect 'outputs do not mix' 1 # grep found no line
echo x | "$dtf" map sh -c 'echo to out; echo to err >&2' > out 2> err; code=$?
echo to out > out.expected; echo to err > err.expected; expect 'each to its own' 0
printf 'a\n\nb' | "$dtf" map -k echo pre{}post {} > out 2> err; code=$?
printf 'preapost a\nprebpost b\n' > out.expected; expect 'places are filled, empty lines skipped' 0
seq 200 | "$dtf" map -j8 -k bash -c 'echo hi $1 > >(sed s/h/H/)' bash > out 2> err; code=$?
seq 200 | sed 's/^/Hi /' > out.expected; : > err.expected; expect 'what is written after the end of the program' 0
echo x | "$dtf" map sh -c 'sleep 60 & echo hi' > out 2> err; code=$?; echo hi > out.expected
echo "dtf: 'x': what it left running was killed 1 s later, and its output may not be whole" > err.expected
expect 'what a command leaves running' 0
"$dtf" map echo < /dev/null > out 2> err; code=$?; : > out.expected; : > err.expected; expect 'nothing to do' 0
printf 'a\xff"\n' | "$dtf" map --output json sh -c 'echo $1; exit 4' sh > out 2> err; code=$?
sed -i 's/"run_us":[0-9]*/"run_us":0/' out
printf '%s%s\n' '{"number":1,"item":"a'$'\xef\xbf\xbd''\"","ok":false,"result":"failure","code":4,"error":"exit code 4",' \
    '"run_us":0,"stdout":"a'$'\xef\xbf\xbd''\"\n","stderr":""}' > out.expected
expect 'json' 1

# ---- a node that is short of descriptors: nothing fails for it
(ulimit -n 80; seq 120 | "$dtf" map -k -j 60 sh -c 'sleep 0.1; echo $1' sh) > out 2> err; code=$?
seq 120 > out.expected; expect 'short of descriptors' 0
if [ "$(grep -c 'Too many open files' err)" != 1 ]; then echo 'short of descriptors: said'; cat err; failures=$((failures + 1)); fi

# ---- failures
printf 'good\nb\tad\n' | "$dtf" map -k test good = > out 2> err; code=$?
printf "dtf: 1 of 2 items failed:\n  \$'b\\\\tad' (exit code 1)\n" > err.expected; expect 'the failed item is listed' 1
seq 25 | "$dtf" map false > out 2> err; code=$?; expect 'many failures' 1
grep -q '^dtf: 25 of 25 items failed:$' err && [ "$(wc -l < err)" = 22 ] && tail -1 err | grep -q 'and 5 more' ||
    { echo 'many failures: the list is'; cat err; failures=$((failures + 1)); }
echo x | "$dtf" map /nonexistent/program > out 2> err; code=$?; expect 'no such program' 1
echo 20 | "$dtf" map --timeout 200ms sleep > out 2> err; code=$?
printf "dtf: 1 of 1 items failed:\n  '20' (timed out)\n" > err.expected; expect 'a timeout' 1
echo 20 | "$dtf" map --timeout 300ms sh -c 'echo begun; echo so >&2; sleep 20' > out 2> err; code=$?
echo begun > out.expected; printf "so\ndtf: 1 of 1 items failed:\n  '20' (timed out)\n" > err.expected
expect 'what a timed out command wrote is kept' 1
echo 20 | "$dtf" map --retries 2 sh -c 'echo x >> tries; [ "$(wc -l < tries)" = 3 ]' > out 2> err; code=$?; expect 'retries' 0
head -c 150000 /dev/zero | tr '\0' x | "$dtf" map echo > out 2> err; code=$?
echo 'dtf: line 1 is longer than 131072 bytes' > err.expected; expect 'an item too long' 1
printf 'a\nb\0\n' | "$dtf" map echo > out 2> err; code=$?; echo a > out.expected; expect 'a zero byte' 1
echo 1 | "$dtf" map echo > /dev/full 2> err; code=$?
echo 'dtf: cannot write the output: No space left on device' > err.expected; rm -f out; : > out; expect 'full disk' 1
for wrong in '' '-j 0 x' '-j x x' '--timeout 5 x' '--retries 1001 x' '--nonsense x' '--server' '--output xml x'; do
    "$dtf" map $wrong < /dev/null > out 2> err; code=$?; : > out.expected; expect "wrong usage: $wrong" 2
    [ "$(wc -l < err)" = 1 ] && grep -q '^dtf: ' err || { echo "$wrong: not one line"; cat err; failures=$((failures + 1)); }
done

# ---- as items come, and when it is interrupted
mkfifo slow
(echo first; sleep 5; echo second) > slow &
feeder=$!
timeout 4 "$dtf" map touch < slow > out 2> err &
sleep 1
[ -e first ] || { echo 'the first item waited for the end'; failures=$((failures + 1)); }
kill $feeder 2> /dev/null; wait 2> /dev/null
seq 3 | timeout --preserve-status -s INT 0.7 "$dtf" map -j3 sh -c 'echo $$ >> pids; exec sleep 30' > out 2> err; code=$?
printf 'dtf: interrupted\ndtf: 3 items were not done\n' > err.expected; expect 'interrupted' 130
for pid in $(cat pids); do
    if kill -0 "$pid" 2> /dev/null; then echo "process $pid is left"; failures=$((failures + 1)); fi
done

[ $failures = 0 ] && echo 'all is well'
exit $((failures > 0))
