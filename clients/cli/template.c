// SPDX-License-Identifier: Apache-2.0
// template.c: puts items into commands.
#include "template.h"

#include "dtf.h"
#include "dtf/v1/command.pb-c.h"

#include <string.h>

static const char place[] = "{}";
enum { PLACE_BYTES = sizeof place - 1 };

void template_init(struct template *t, size_t count, char *const *args)
{
    *t = (struct template){.args = args, .count = count};
    for (size_t i = 0; i < count; i++)
        t->has_place |= strstr(args[i], place) != NULL;
}

static size_t count_places(const char *arg)
{
    size_t n = 0;
    while ((arg = strstr(arg, place))) {
        arg += PLACE_BYTES;
        n++;
    }
    return n;
}

static ProtobufCBinaryData fill(const char *arg, const char *item, size_t item_bytes, struct arena *a)
{
    size_t places = item ? count_places(arg) : 0, length = strlen(arg);
    if (!places)
        return (ProtobufCBinaryData){length, (uint8_t *)arg};
    ProtobufCBinaryData out = {.len = length + places * item_bytes - places * PLACE_BYTES};
    unsigned char *to = out.data = arena_alloc(a, out.len);
    for (const char *next; (next = strstr(arg, place)); arg = next + PLACE_BYTES) {
        to = (unsigned char *)mempcpy(to, arg, (size_t)(next - arg));
        to = mempcpy(to, item, item_bytes);
    }
    memcpy(to, arg, strlen(arg));
    return out;
}

// How large the arguments get, before any memory is taken for them.
static size_t filled_bytes(const struct template *t, size_t item_bytes)
{
    size_t bytes = t->has_place ? 0 : item_bytes;
    for (size_t i = 0; i < t->count; i++)
        bytes += strlen(t->args[i]) + count_places(t->args[i]) * item_bytes;
    return bytes;
}

int template_pack(const struct template *t, const char *item, size_t item_bytes, struct arena *a,
                  const void **out, size_t *out_bytes, struct nrpc_status *st)
{
    Dtf__V1__Command command = DTF__V1__COMMAND__INIT;
    bool append = item && !t->has_place;
    if (filled_bytes(t, item_bytes) <= DTF_SUBTASK_PARAM_MAX) {
        command.n_argv = t->count + append;
        command.argv = arena_alloc(a, command.n_argv * sizeof *command.argv);
        for (size_t i = 0; i < t->count; i++)
            command.argv[i] = fill(t->args[i], item, item_bytes, a);
        if (append)
            command.argv[t->count] = (ProtobufCBinaryData){item_bytes, (uint8_t *)item};
        command.max_output_bytes = t->max_output_bytes;
        command.timeout_ms = t->timeout_ms;
        *out_bytes = dtf__v1__command__get_packed_size(&command);
    }
    if (!command.argv || *out_bytes > DTF_SUBTASK_PARAM_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "the command is longer than %d bytes",
                          DTF_SUBTASK_PARAM_MAX);
    unsigned char *packed = arena_alloc(a, *out_bytes);
    dtf__v1__command__pack(&command, packed);
    *out = packed;
    return NRPC_OK;
}
