#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recorded_test.sh PROTO_COMPAT PROTO_DIR: whether peers built from the recorded .proto files still understand us.
set -eu
proto_compat=$1 proto=$2
now=$(mktemp)
trap 'rm -f "$now"' EXIT
"$proto/compat/record.sh" "$now"
if ! "$proto_compat" "$proto/compat/recorded.binpb" "$now"; then
    echo "proto/ breaks what is recorded in proto/compat; its README says what to do when that is meant" >&2
    exit 1
fi
