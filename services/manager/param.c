// SPDX-License-Identifier: Apache-2.0
// param.c: the rules for task parameters.
#include "param.h"

#include "base/utf8.h"
#include "plugin/registry.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset, max_bytes;
} texts[] = {
    {"creator", offsetof(Dtf__V1__TaskParam, creator), DTF_NAME_MAX},
    {"resource_group", offsetof(Dtf__V1__TaskParam, resource_group), DTF_NAME_MAX},
    {"name", offsetof(Dtf__V1__TaskParam, name), DTF_NAME_MAX},
    {"description", offsetof(Dtf__V1__TaskParam, description), DTF_DESCRIPTION_MAX},
    {"type", offsetof(Dtf__V1__TaskParam, type), DTF_NAME_MAX},
    {"idempotency_key", offsetof(Dtf__V1__TaskParam, idempotency_key), DTF_NAME_MAX},
};

static int check_texts(const Dtf__V1__TaskParam *p, struct nrpc_status *st)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text;
        memcpy(&text, (const char *)p + texts[i].offset, sizeof text);
        if (strlen(text) > texts[i].max_bytes)
            return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %zu bytes are over the limit of %zu",
                              texts[i].name, strlen(text), texts[i].max_bytes);
        if (!utf8_is_valid(text))
            return status_set(st, NRPC_INVALID_ARGUMENT, "%s: is not valid UTF-8", texts[i].name);
    }
    return NRPC_OK;
}

static int check_type(const Dtf__V1__TaskParam *p, struct nrpc_status *st)
{
    if (!*p->type)
        return status_set(st, NRPC_INVALID_ARGUMENT, "type: is missing");
    const struct dtf_task_type *type = registry_find(p->type);
    if (!type)
        return status_set(st, NRPC_INVALID_ARGUMENT, "type: no task type \"%s\" is registered here", p->type);
    if (!type->generator && !p->fed)
        return status_set(st, NRPC_INVALID_ARGUMENT, "type: \"%s\" has no generator: its tasks must be fed",
                          p->type);
    return NRPC_OK;
}

int param_check(const Dtf__V1__TaskParam *p, struct nrpc_status *st)
{
    if (check_texts(p, st) || check_type(p, st))
        return NRPC_INVALID_ARGUMENT;
    if (p->priority > DTF_PRIORITY_HIGH)
        return status_set(st, NRPC_INVALID_ARGUMENT, "priority: %u is over %d", p->priority,
                          DTF_PRIORITY_HIGH);
    if (p->timeout_ms > DTF_TASK_TIMEOUT_MAX_MS)
        return status_set(st, NRPC_INVALID_ARGUMENT, "timeout_ms: over 30 days");
    if (p->type_param.len > DTF_TYPE_PARAM_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "type_param: %zu bytes are over the limit of %d",
                          p->type_param.len, DTF_TYPE_PARAM_MAX);
    if (p->max_retries > DTF_RETRIES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "max_retries: %u is over %d", p->max_retries,
                          DTF_RETRIES_MAX);
    if (p->retry_backoff_ms > DTF_RETRY_BACKOFF_MAX_MS)
        return status_set(st, NRPC_INVALID_ARGUMENT, "retry_backoff_ms: over an hour");
    if (p->tolerated_failures < -1)
        return status_set(st, NRPC_INVALID_ARGUMENT, "tolerated_failures: less than -1");
    if (p->feeder_lease_ms && !p->fed)
        return status_set(st, NRPC_INVALID_ARGUMENT, "feeder_lease_ms: only a fed task has a feeder");
    if (p->feeder_lease_ms &&
        (p->feeder_lease_ms < DTF_FEEDER_LEASE_MIN_MS || p->feeder_lease_ms > DTF_FEEDER_LEASE_MAX_MS))
        return status_set(st, NRPC_INVALID_ARGUMENT, "feeder_lease_ms: %u is not in %d..%d",
                          p->feeder_lease_ms, DTF_FEEDER_LEASE_MIN_MS, DTF_FEEDER_LEASE_MAX_MS);
    return NRPC_OK;
}

static int64_t timeout_of(const Dtf__V1__TaskParam *p)
{
    int64_t of_type = registry_find(p->type)->conf.timeout_ms;
    return p->timeout_ms ? (int64_t)p->timeout_ms : of_type ? of_type : DTF_TASK_TIMEOUT_MS;
}

static const char *group_of(const Dtf__V1__TaskParam *p)
{
    return *p->resource_group ? p->resource_group : "default";
}

static uint32_t priority_of(const Dtf__V1__TaskParam *p)
{
    return p->priority ? p->priority : DTF_PRIORITY_LOW;
}

int param_to_record(const Dtf__V1__TaskParam *p, int64_t now_ms, struct arena *a,
                    struct records_new_task *out, struct nrpc_status *st)
{
    int code = param_check(p, st);
    if (code)
        return code;
    Dtf__V1__TaskParam full = *p; // with the defaults, as it is kept and shown
    full.resource_group = (char *)group_of(p);
    full.priority = priority_of(p);
    full.timeout_ms = (uint64_t)timeout_of(p);
    size_t size = dtf__v1__task_param__get_packed_size(&full);
    uint8_t *packed = arena_alloc(a, size);
    dtf__v1__task_param__pack(&full, packed);
    *out = (struct records_new_task){
        .name = p->name,
        .description = p->description,
        .type = p->type,
        .creator = p->creator,
        .group = full.resource_group,
        .creator_uid = p->creator_uid,
        .priority = full.priority,
        .idempotency_key = p->idempotency_key,
        .created_ms = now_ms,
        .deadline_ms = now_ms + timeout_of(p),
        .param = {packed, size},
    };
    return NRPC_OK;
}

void param_to_state(const Dtf__V1__TaskParam *p, const struct param_task *t, struct state_task *out)
{
    const struct dtf_task_type *type = registry_find(p->type);
    *out = (struct state_task){
        .id = t->id,
        .born_ms = t->created_ms,
        .type = p->type,
        .group = group_of(p),
        .priority = priority_of(p),
        .deadline_ms = t->deadline_ms,
        .policy = {p->max_retries, p->retry_backoff_ms, p->tolerated_failures},
        .max_running = p->max_running,
        .keep_results = p->keep_results,
        .fed = p->fed,
        .closing_callback = type && type->collector && type->collector->after_task_completed,
        .param = {t->packed.data, t->packed.bytes},
    };
}
