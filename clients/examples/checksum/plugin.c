// SPDX-License-Identifier: Apache-2.0
// plugin.c: what the plugin "checksum" exports.
#include "checksum/checksum.h"

enum { FILES_MAX = 500 }; // a subtask's result must fit into DTF_RESULT_BODY_MAX

Examples__Checksum__V1__Task *checksum_read_task(const struct dtf_task *task, struct nrpc_status *st)
{
    Examples__Checksum__V1__Task *t =
        examples__checksum__v1__task__unpack(NULL, task->param_bytes, task->param);
    if (!t) {
        status_set(st, NRPC_INVALID_ARGUMENT, "the task's parameter is no examples.checksum.v1.Task");
        return NULL;
    }
    if (t->files_per_subtask <= FILES_MAX)
        return t;
    status_set(st, NRPC_INVALID_ARGUMENT, "files_per_subtask: %u is over %d", t->files_per_subtask,
               FILES_MAX);
    examples__checksum__v1__task__free_unpacked(t, NULL);
    return NULL;
}

static const struct dtf_task_type type = {
    .name = "checksum",
    .description = "SHA-256 of all files of a directory tree",
    .generator = &checksum_generator,
    .executor = &checksum_executor,
    .collector = &checksum_collector,
};

__attribute__((visibility("default"))) const struct dtf_plugin dtf_plugin_v1 = {
    .abi = DTF_PLUGIN_ABI,
    .type_count = 1,
    .types = &type,
};
