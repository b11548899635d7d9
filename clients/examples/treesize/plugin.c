// SPDX-License-Identifier: Apache-2.0
// plugin.c: what the plugin "treesize" exports, and what its callbacks share.
#include "base/mem.h"
#include "treesize/treesize.h"

#include <string.h>

Examples__Treesize__V1__Task *treesize_read_task(const struct dtf_task *task, struct nrpc_status *st)
{
    Examples__Treesize__V1__Task *t =
        examples__treesize__v1__task__unpack(NULL, task->param_bytes, task->param);
    if (!t) {
        status_set(st, NRPC_INVALID_ARGUMENT, "the task's parameter is no examples.treesize.v1.Task");
        return NULL;
    }
    if (t->measure <= EXAMPLES__TREESIZE__V1__MEASURE__APPARENT_FILE_SIZE)
        return t;
    status_set(st, NRPC_INVALID_ARGUMENT, "measure: there is no %d", (int)t->measure);
    examples__treesize__v1__task__free_unpacked(t, NULL);
    return NULL;
}

void *treesize_pack(const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    void *packed = mem_alloc(*size);
    protobuf_c_message_pack(message, packed);
    return packed;
}

ProtobufCBinaryData treesize_join(ProtobufCBinaryData directory, ProtobufCBinaryData name)
{
    ProtobufCBinaryData out = {0, mem_alloc(directory.len + name.len + 1)};
    if (directory.len)
        memcpy(out.data, directory.data, directory.len);
    out.len = directory.len;
    if (directory.len && name.len)
        out.data[out.len++] = '/';
    if (name.len)
        memcpy(out.data + out.len, name.data, name.len);
    out.len += name.len;
    return out;
}

static const struct dtf_task_type type = {
    .name = "treesize",
    .description = "how much a directory tree takes, as du counts it",
    .conf = {.iteration = DTF_ITERATION_COLLECTOR},
    .generator = &treesize_generator,
    .executor = &treesize_executor,
    .collector = &treesize_collector,
};

__attribute__((visibility("default"))) const struct dtf_plugin dtf_plugin_v1 = {
    .abi = DTF_PLUGIN_ABI,
    .type_count = 1,
    .types = &type,
};
