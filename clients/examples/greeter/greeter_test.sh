#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# greeter_test.sh SERVER CLIENT: the tutorial's programs do what the tutorial says.
set -eu
coproc SERVER_IO { exec "$1" tcp://127.0.0.1:0 2>&1; }
server=$SERVER_IO_PID
trap 'kill $server 2>/dev/null || true' EXIT
read -r url <&"${SERVER_IO[0]}"
[ "$("$2" "$url" Ada)" = $'hello Ada\n3\n2\n1' ]
kill "$server"
if error=$("$2" "$url" Ada 2>&1); then exit 1; fi
[[ $error == *": no connection to $url" ]]
echo "1 passed, 0 failed"
