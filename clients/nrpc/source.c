// SPDX-License-Identifier: Apache-2.0
// source.c: descriptors from nrpc.v1.Reflection or from a FileDescriptorSet.
#include "source.h"

#include "base/mem.h"
#include "nrpc/v1/reflection.nrpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICES_MAX = 10000 }; // more are not looked at

typedef Nrpc__V1__FileDescriptorsRequest file_request;
typedef Nrpc__V1__FileDescriptorsResponse file_response;

// ---- a file

static int read_file(struct cli *cli, const char *path, uint8_t **data, size_t *size)
{
    FILE *f = fopen(path, "re");
    *size = 0;
    if (!f)
        return cli_fail(cli, "--proto-set %s: %m", path);
    *data = mem_alloc(SCHEMA_BYTES_MAX + 1);
    *size = fread(*data, 1, SCHEMA_BYTES_MAX + 1, f);
    int exit_code = ferror(f) ? cli_fail(cli, "--proto-set %s: cannot be read", path) : CLI_OK;
    (void)fclose(f);
    return exit_code;
}

static void add_schema(struct source *s, struct schema *schema)
{
    mem_grow(&s->schemas, &s->schema_capacity, s->schema_count + 1, sizeof(struct schema *));
    s->schemas[s->schema_count++] = schema;
}

static int load_set(struct source *s, const char *path)
{
    uint8_t *data = NULL;
    size_t size;
    struct schema *schema;
    struct nrpc_status st;
    int exit_code = read_file(s->cli, path, &data, &size);
    if (!exit_code && schema_create_from_set(data, size, &schema, &st))
        exit_code = cli_fail(s->cli, "--proto-set %s: %s", path, st.text);
    else if (!exit_code)
        add_schema(s, schema);
    free(data);
    return exit_code;
}

// ---- reflection; under the mutex

static int explain(struct nrpc_status *st)
{
    if (st->code == NRPC_UNIMPLEMENTED)
        status_set(st, st->code, "the server offers no reflection (or give --proto-set FILE)");
    return st->code;
}

// Keeps a file, once.
static int keep(struct source *s, const ProtobufCBinaryData *file, struct nrpc_status *st)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].len == file->len && !memcmp(s->files[i].data, file->data, file->len))
            return NRPC_OK;
    s->file_bytes += file->len;
    if (s->file_bytes > SCHEMA_BYTES_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the server's descriptors have over %d bytes",
                          SCHEMA_BYTES_MAX);
    mem_grow(&s->files, &s->file_capacity, s->file_count + 1, sizeof *s->files);
    s->files[s->file_count++] = (ProtobufCBinaryData){file->len, mem_dup(file->data, file->len)};
    return NRPC_OK;
}

static int fetch(struct source *s, const char *symbol, struct nrpc_status *st)
{
    file_request q = NRPC__V1__FILE_DESCRIPTORS_REQUEST__INIT;
    file_response *r;
    struct nrpc_call_options o = cli_query(s->cli);
    q.what_case = NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT_SYMBOL;
    q.symbol = (char *)symbol;
    if (nrpc_v1_reflection_file_descriptors(s->cli->channel, &o, &q, &r, st))
        return explain(st);
    int code = NRPC_OK;
    for (size_t i = 0; i < r->n_file_descriptors && !code; i++)
        code = keep(s, &r->file_descriptors[i], st);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return code;
}

// The schema of all files that were fetched.
static int rebuild(struct source *s, struct nrpc_status *st)
{
    struct schema *schema;
    struct nrpc_status why;
    if (schema_create(s->files, s->file_count, &schema, &why))
        return status_set(st, NRPC_INTERNAL, "the server's descriptors: %.200s", why.text);
    add_schema(s, schema);
    return NRPC_OK;
}

static int list(struct source *s, char ***names, size_t *count, struct nrpc_status *st)
{
    Nrpc__V1__ListServicesRequest q = NRPC__V1__LIST_SERVICES_REQUEST__INIT;
    Nrpc__V1__ListServicesResponse *r;
    struct nrpc_call_options o = cli_query(s->cli);
    if (nrpc_v1_reflection_list_services(s->cli->channel, &o, &q, &r, st))
        return explain(st);
    size_t n = r->n_services < SERVICES_MAX ? r->n_services : SERVICES_MAX;
    *names = mem_calloc(n, sizeof **names);
    for (*count = 0; *count < n; ++*count)
        (*names)[*count] = mem_strdup(r->services[*count]->name);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return NRPC_OK;
}

static int fetch_all(struct source *s, struct nrpc_status *st)
{
    char **names;
    size_t count;
    int code = list(s, &names, &count, st);
    if (code)
        return code;
    for (size_t i = 0; i < count && !code; i++) {
        code = fetch(s, names[i], st);
        if (code == NRPC_NOT_FOUND) // a service without a description
            code = NRPC_OK;
    }
    source_free_names(names, count);
    return code ? code : rebuild(s, st);
}

// ---- for all

int source_open(struct source *s, struct cli *cli)
{
    *s = (struct source){.cli = cli, .is_complete = cli->proto_set};
    pthread_mutex_init(&s->mu, NULL);
    return cli->proto_set ? load_set(s, cli->proto_set) : CLI_OK;
}

void source_close(struct source *s)
{
    for (size_t i = 0; i < s->schema_count; i++)
        schema_destroy(s->schemas[i]);
    for (size_t i = 0; i < s->file_count; i++)
        free(s->files[i].data);
    free(s->schemas);
    free(s->files);
    pthread_mutex_destroy(&s->mu);
}

int source_add(struct source *s, const char *symbol, struct nrpc_status *st)
{
    int code = NRPC_OK;
    pthread_mutex_lock(&s->mu);
    if (!s->is_complete && (code = fetch(s, symbol, st)) == NRPC_OK)
        code = rebuild(s, st);
    pthread_mutex_unlock(&s->mu);
    return code;
}

int source_add_all(struct source *s, struct nrpc_status *st)
{
    int code = NRPC_OK;
    pthread_mutex_lock(&s->mu);
    if (!s->is_complete)
        code = fetch_all(s, st);
    s->is_complete = true;
    pthread_mutex_unlock(&s->mu);
    return code;
}

const struct schema *source_schema(struct source *s)
{
    pthread_mutex_lock(&s->mu);
    const struct schema *schema = s->schemas[s->schema_count - 1];
    pthread_mutex_unlock(&s->mu);
    return schema;
}

int source_services(struct source *s, char ***names, size_t *count, struct nrpc_status *st)
{
    if (!s->cli->proto_set)
        return list(s, names, count, st);
    const struct schema *schema = source_schema(s);
    *names = mem_calloc(schema->service_count, sizeof **names);
    for (*count = 0; *count < schema->service_count; ++*count)
        (*names)[*count] = mem_strdup(schema->services[*count].full_name);
    return NRPC_OK;
}

void source_free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
