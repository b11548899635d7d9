// SPDX-License-Identifier: Apache-2.0
// tasks.c: a client's calls about whole tasks: create, steer, look at, wait for, list.
#include "client.h"

#include "base/clock.h"
#include "base/ids.h"
#include "dtf/v1/task_service.nrpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    CREATE_TRIES = 4,
    LIST_PAGE = 1000,
};
static const struct nrpc_call_options ordinary = {.timeout_ms = CLIENT_CALL_MS};

const char *dtf_task_status_name(int status)
{
    static const char *const names[] = {
        [DTF_TASK_CREATED] = "created",     [DTF_TASK_RUNNING] = "running",     [DTF_TASK_PAUSED] = "paused",
        [DTF_TASK_CANCELLED] = "cancelled", [DTF_TASK_COMPLETED] = "completed", [DTF_TASK_FAILED] = "failed",
        [DTF_TASK_TIMED_OUT] = "timed_out",
    };
    return status >= DTF_TASK_CREATED && status <= DTF_TASK_TIMED_OUT ? names[status] : "unknown";
}

// ---- create

static int check_texts(const struct dtf_task_param *p, struct nrpc_status *st)
{
    const struct {
        const char *field, *text;
        size_t max;
    } texts[] = {
        {"creator", p->creator, DTF_NAME_MAX}, {"resource_group", p->resource_group, DTF_NAME_MAX},
        {"name", p->name, DTF_NAME_MAX},       {"description", p->description, DTF_DESCRIPTION_MAX},
        {"type", p->type, DTF_NAME_MAX},       {"idempotency_key", p->idempotency_key, DTF_NAME_MAX},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t bytes = texts[i].text ? strlen(texts[i].text) : 0;
        int code = client_check_size(texts[i].field, bytes, texts[i].max, st);
        if (code)
            return code;
    }
    return NRPC_OK;
}

static int check_param(const struct dtf_task_param *p, struct nrpc_status *st)
{
    if (!p->type || !*p->type)
        return status_set(st, NRPC_INVALID_ARGUMENT, "type: none given");
    if (p->priority > DTF_PRIORITY_HIGH)
        return status_set(st, NRPC_INVALID_ARGUMENT, "priority: %u is above %d", p->priority,
                          DTF_PRIORITY_HIGH);
    if (p->timeout_ms < 0 || p->timeout_ms > DTF_TASK_TIMEOUT_MAX_MS)
        return status_set(st, NRPC_INVALID_ARGUMENT, "timeout_ms: %lld is not between 0 and 30 days",
                          (long long)p->timeout_ms);
    if (p->max_retries > DTF_RETRIES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "max_retries: %u is above %d", p->max_retries,
                          DTF_RETRIES_MAX);
    if (p->tolerated_failures < -1)
        return status_set(st, NRPC_INVALID_ARGUMENT, "tolerated_failures: %lld is below -1",
                          (long long)p->tolerated_failures);
    int code = check_texts(p, st);
    return code ? code : client_check_size("type_param", p->type_param_bytes, DTF_TYPE_PARAM_MAX, st);
}

static char *text_of(const char *text) // protobuf-c's fields are not const; nobody writes to them
{
    return (char *)(text ? text : "");
}

static void fill_param(const struct dtf_task_param *p, Dtf__V1__TaskParam *out)
{
    dtf__v1__task_param__init(out);
    out->creator_uid = p->creator_uid;
    out->creator = text_of(p->creator);
    out->resource_group = text_of(p->resource_group);
    out->priority = p->priority;
    out->name = text_of(p->name);
    out->description = text_of(p->description);
    out->type = text_of(p->type);
    out->timeout_ms = (uint64_t)p->timeout_ms;
    out->type_param = (ProtobufCBinaryData){p->type_param_bytes, (uint8_t *)p->type_param};
    out->idempotency_key = text_of(p->idempotency_key);
    out->max_retries = p->max_retries;
    out->retry_backoff_ms = p->retry_backoff_ms;
    out->tolerated_failures = p->tolerated_failures;
    out->max_running = p->max_running;
    out->keep_results = p->keep_results;
    out->fed = p->fed;
    out->feeder_lease_ms = p->feeder_lease_ms;
}

enum { KEY_SIZE = 40 };

static void make_key(char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, "auto-%016" PRIx64 "%016" PRIx64, ids_random(), ids_random());
}

// A lost answer leaves open whether the task was made: a key makes it safe to ask again, also another server.
int dtf_task_create(struct dtf_client *c, const struct dtf_task_param *param, uint64_t *task_id,
                    struct nrpc_status *st)
{
    int code = check_param(param, st);
    if (code)
        return code;
    Dtf__V1__TaskParam p;
    char key[KEY_SIZE];
    fill_param(param, &p);
    if (!*p.idempotency_key) {
        make_key(key);
        p.idempotency_key = key;
    }
    Dtf__V1__CreateRequest request = DTF__V1__CREATE_REQUEST__INIT;
    request.param = &p;
    Dtf__V1__CreateResponse *response = NULL;
    struct client_backoff backoff = {100, 2000};
    struct client_tries again = {0};
    for (int tries = CREATE_TRIES;;) {
        code = client_note(c, dtf_v1_task_service_create(c->channel, &ordinary, &request, &response, st));
        if (client_again(c, &again, code, st, INT64_MAX))
            continue;
        if (code != NRPC_UNAVAILABLE || c->patience_ms >= 0 || !--tries || !client_was_connected(c))
            break;
        client_back_off(&backoff, INT64_MAX);
    }
    if (!code)
        *task_id = response->task_id;
    dtf__v1__create_response__free_unpacked(response, NULL);
    return code;
}

// ---- steer

int dtf_task_pause(struct dtf_client *c, uint64_t task_id, struct nrpc_status *st)
{
    Dtf__V1__PauseRequest request = DTF__V1__PAUSE_REQUEST__INIT;
    request.task_id = task_id;
    struct client_tries again = {0};
    int code;
    while ((code = client_note(c, dtf_v1_task_service_pause(c->channel, &ordinary, &request, NULL, st))) &&
           client_again(c, &again, code, st, INT64_MAX))
        continue;
    return code;
}

int dtf_task_resume(struct dtf_client *c, uint64_t task_id, struct nrpc_status *st)
{
    Dtf__V1__ResumeRequest request = DTF__V1__RESUME_REQUEST__INIT;
    request.task_id = task_id;
    struct client_tries again = {0};
    int code;
    while ((code = client_note(c, dtf_v1_task_service_resume(c->channel, &ordinary, &request, NULL, st))) &&
           client_again(c, &again, code, st, INT64_MAX))
        continue;
    return code;
}

int dtf_task_cancel(struct dtf_client *c, uint64_t task_id, const char *reason, struct nrpc_status *st)
{
    int code = client_check_size("reason", reason ? strlen(reason) : 0, DTF_REASON_MAX, st);
    if (code)
        return code;
    Dtf__V1__CancelRequest request = DTF__V1__CANCEL_REQUEST__INIT;
    request.task_id = task_id;
    request.reason = text_of(reason);
    struct client_tries again = {0};
    while ((code = client_note(c, dtf_v1_task_service_cancel(c->channel, &ordinary, &request, NULL, st))) &&
           client_again(c, &again, code, st, INT64_MAX))
        continue;
    return code;
}

// ---- look at and wait for

static int read_answer(const Dtf__V1__Task *task, struct dtf_task_info *out, struct nrpc_status *st)
{
    if (!task)
        return status_set(st, NRPC_INTERNAL, "the server's answer has no task in it");
    client_read_task(task, out);
    return NRPC_OK;
}

int dtf_task_status(struct dtf_client *c, uint64_t task_id, struct dtf_task_info *out, struct nrpc_status *st)
{
    Dtf__V1__GetRequest request = DTF__V1__GET_REQUEST__INIT;
    request.task_id = task_id;
    Dtf__V1__GetResponse *response;
    struct client_tries again = {0};
    int code;
    while ((code = client_note(c, dtf_v1_task_service_get(c->channel, &ordinary, &request, &response, st))) &&
           client_again(c, &again, code, st, INT64_MAX))
        continue;
    if (!code)
        code = read_answer(response->task, out, st);
    dtf__v1__get_response__free_unpacked(response, NULL);
    return code;
}

static int wait_once(struct dtf_client *c, uint64_t task_id, int64_t wait_ms, struct dtf_task_info *out,
                     struct nrpc_status *st)
{
    Dtf__V1__WaitRequest request = DTF__V1__WAIT_REQUEST__INIT;
    request.task_id = task_id;
    request.wait_ms = (uint64_t)wait_ms;
    struct nrpc_call_options options = {.timeout_ms = wait_ms + CLIENT_WAIT_SPARE_MS};
    Dtf__V1__WaitResponse *response;
    int code = client_note(c, dtf_v1_task_service_wait(c->channel, &options, &request, &response, st));
    if (!code)
        code = read_answer(response->task, out, st);
    dtf__v1__wait_response__free_unpacked(response, NULL);
    return code;
}

int dtf_task_wait(struct dtf_client *c, uint64_t task_id, int64_t timeout_ms, struct dtf_task_info *out,
                  struct nrpc_status *st)
{
    int64_t deadline_us = client_deadline_us(timeout_ms);
    const struct client_backoff start = {100, 2000};
    struct client_backoff backoff = start;
    struct client_tries again = {0};
    for (;;) {
        int64_t left_ms = client_left_ms(deadline_us, CLIENT_WAIT_MS);
        int code = wait_once(c, task_id, left_ms, out, st);
        if (!code && out->status >= DTF_TASK_CANCELLED)
            return NRPC_OK;
        if (!code && !client_left_ms(deadline_us, 1))
            return status_set(st, NRPC_DEADLINE_EXCEEDED, "task %llu is still %s",
                              (unsigned long long)task_id, dtf_task_status_name(out->status));
        left_ms = client_left_ms(deadline_us, INT64_MAX);
        if (!code) {
            backoff = start;
            again = (struct client_tries){0};
        } else if (!client_keeps_on(c, &again, &backoff, code, st, left_ms)) {
            return code;
        }
    }
}

// ---- list

static int list_page(struct dtf_client *c, const Dtf__V1__ListRequest *request, struct dtf_task_info *out,
                     size_t *count, struct nrpc_status *st)
{
    Dtf__V1__ListResponse *response;
    struct client_tries again = {0};
    int code;
    while ((code = client_note(c, dtf_v1_task_service_list(c->channel, &ordinary, request, &response, st))) &&
           client_again(c, &again, code, st, INT64_MAX))
        continue;
    size_t n = code ? 0 : response->n_tasks;
    *count = n < request->limit ? n : request->limit;
    for (size_t i = 0; i < *count; i++)
        client_read_task(response->tasks[i], &out[i]);
    dtf__v1__list_response__free_unpacked(response, NULL);
    return code;
}

int dtf_task_list(struct dtf_client *c, int status, uint64_t before_id, struct dtf_task_info *out,
                  size_t *count, struct nrpc_status *st)
{
    size_t capacity = *count, got = 0, page = 1;
    *count = 0;
    for (; page && got < capacity; got += page) {
        Dtf__V1__ListRequest request = DTF__V1__LIST_REQUEST__INIT;
        request.status = (Dtf__V1__TaskStatus)status;
        request.before_id = got ? out[got - 1].id : before_id;
        request.limit = (uint32_t)(capacity - got < LIST_PAGE ? capacity - got : LIST_PAGE);
        int code = list_page(c, &request, out + got, &page, st);
        if (code)
            return code;
    }
    *count = got;
    return status_ok(st);
}
