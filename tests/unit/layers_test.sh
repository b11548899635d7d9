#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# layers_test.sh ROOT: every #include line of the tree against the layers of docs/ARCHITECTURE.md.
#
# An include is allowed when it is of the same folder, of the C library, POSIX or uthash, or starts with one of the words in
# the folder's row. The longest folder that fits a file is its row.
root=$1
cd "$root" || exit 1

rows() { cat <<'ROWS'
lib/dtf.h                     base/
lib/base                      base/ protobuf-c/
lib/model                     base/ dtf/v1/ model/ dtf.h
lib/sched                     base/ dtf/v1/ model/ sched/ dtf.h
lib/nrpc                      base/ nrpc/ nng/ protobuf-c/
lib/nrpc/auth                 base/ nrpc/auth/ openssl/ jansson.h
lib/nrpc/interceptors         base/ nrpc/
lib/nrpc/json                 base/ nrpc/json/ protobuf-c/ google/protobuf/ jansson.h
lib/nrpc/protoc-gen-nrpc      base/ protobuf-c/ google/protobuf/ c_options
lib/embedded                  base/ embedded/ sqlite3.h state/state.h records/records.h
lib/state                     base/ dtf/v1/ model/ state/ embedded/ dtf.h sqlite3.h hiredis/ redis_scripts.h
lib/records                   base/ dtf/v1/ model/ records/ embedded/ sqlite3.h mysql/ mysql.h mysqld_error.h errmsg.h
lib/plugin                    base/ dtf/v1/ plugin/ dtf.h
services/manager              LIB callbacks.h env.h finds.h counters_message.h
services/generator            LIB callbacks.h env.h finds.h
services/scheduler            LIB ahead.h callbacks.h env.h finds.h versions.h
services/collector            LIB callbacks.h env.h finds.h
services/executor             LIB ahead.h
services                      LIB ROLES
services/archive_import.c    LIB ROLES admin.h archive.h manager/param.h
services/service.c            LIB ROLES ../clients/c/client.h
services/dtfd.c               service.h base/
clients/c                     base/ dtf/v1/ nrpc/ dtf.h
clients/nrpc                  base/ cli/ nrpc/ google/protobuf/ protobuf-c/ jansson.h
clients/cli                   base/ dtf/v1/ nrpc/json/ clients/c/archive.h dtf.h
clients/examples              base/ protobuf-c/ dtf.h files/ openssl/ linux/ libgen.h
clients/examples/greeter      greeter.nrpc.h
clients/examples/checksum     base/ protobuf-c/ dtf.h files/ checksum/ openssl/ linux/ libgen.h
clients/examples/treesize     base/ protobuf-c/ dtf.h files/ treesize/ linux/ libgen.h
ROWS
}
# Deliberate: lib/embedded holds the SQLite handle that both stores share, so it knows them; lib/sched and lib/model take
# constants from the public header; services/service.c is where the parts of a process are put together.
lib='base/ dtf/v1/ model/ sched/ nrpc/ state/ records/ plugin/ embedded/db.h dtf.h'
roles='manager/manager.h generator/generator.h scheduler/scheduler.h collector/collector.h executor/executor.h'

system='assert ctype dirent dlfcn endian errno fcntl ftw getopt inttypes limits locale math netdb poll pthread pwd sched semaphore setjmp
signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings syslog termios time unistd
uthash utlist wchar'

is_system() {
    case $1 in sys/*|arpa/*|netinet/*|net/*) return 0;; esac
    [[ " ${system//$'\n'/ } " == *" ${1%.h} "* ]]
}

# The row of a file: the words that its includes may start with.
declare -A allowed
while read -r folder words; do
    words=${words/LIB/$lib}
    allowed[$folder]=${words/ROLES/$roles}
done < <(rows)
row_of() {
    local at=$1
    until [ -n "${allowed[$at]+x}" ]; do
        [[ $at == */* ]] || return 1
        at=${at%/*}
    done
    row=$at
}

is_allowed() { # FILE INCLUDE
    local word
    is_system "$2" && return 0
    [[ $2 != */* && -e ${1%/*}/$2 ]] && return 0
    for word in ${allowed[$row]}; do
        [[ $2 == "$word"* ]] && return 0
    done
    return 1
}

files=0 includes=0 failures=0
while IFS= read -r file; do
    files=$((files + 1))
    if ! row_of "$file"; then
        echo "$file: its folder has no row in the table of layers"
        failures=$((failures + 1))
        continue
    fi
    while IFS= read -r include; do
        includes=$((includes + 1))
        is_allowed "$file" "$include" && continue
        echo "$file: may not include $include (allowed in $row: ${allowed[$row]})"
        failures=$((failures + 1))
    done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]([^">]+)[">].*/\1/p' "$file")
done < <(find lib services clients -name '*.[ch]' -not -path '*/build/*' | sort)

# That the check itself can fail.
row_of lib/model/task.c && is_allowed lib/model/task.c state/state.h && { echo "the check lets everything pass"; failures=1; }
row_of services/scheduler/vet.c && is_allowed services/scheduler/vet.c manager/manager.h && { echo "roles pass"; failures=1; }

echo "$files files, $includes includes, $failures against the layers"
[ "$files" -gt 50 ] && [ "$failures" = 0 ]
