#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of the Node client; exit status 77: node 20, or what `npm ci` brings, is missing.
set -eu
cd "$(dirname "$0")/.."
command -v node >/dev/null || exit 77
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || exit 77
[ -d node_modules/protobufjs ] || exit 77
exec node --test test/*.test.js
