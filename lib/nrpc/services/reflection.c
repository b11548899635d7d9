// SPDX-License-Identifier: Apache-2.0
// reflection.c: what the services' embedded descriptors say. Descriptors are looked through where they are,
// on the wire format; nothing is kept between calls.
#include "nrpc/services/reflection.h"

#include "base/mem.h"
#include "nrpc/v1/reflection.nrpc.h"
#include "nrpc/wire.h"

#include <stdlib.h>
#include <string.h>

// ---- symbols

// Where a descriptor has its name, and what is declared in it.
struct declaration {
    uint32_t name;
    struct {
        uint32_t field;
        const struct declaration *what;
    } inner[4];
};

// Numbers of fields of google.protobuf's DescriptorProto and its like.
static const struct declaration plain = {.name = 1};
static const struct declaration service = {
    .name = 1, .inner = {{.field = 2, &plain}}, // method
};
static const struct declaration message = {
    .name = 1,
    .inner = {{.field = 2, &plain}, {.field = 3, &message}, {.field = 4, &plain}}, // field, message, enum
};
static const struct declaration file = {
    .name = 2, // the package
    .inner = {{.field = 4, &message}, {.field = 5, &plain}, {.field = 6, &service}, {.field = 7, &plain}},
};

static bool next_item(struct wire_reader *r, struct wire_item *item)
{
    while (r->at < r->end && wire_next(r, item))
        if (item->type == WIRE_BYTES)
            return true;
    return false;
}

// Whether the symbol is this declaration's, or of one in it.
static bool declares(const struct declaration *d, struct wire_bytes bytes, const char *symbol)
{
    struct wire_reader r = {bytes.data, bytes.data + bytes.size};
    struct wire_bytes name = {NULL, 0};
    struct wire_item item;
    while (next_item(&r, &item))
        if (item.number == d->name)
            name = item.bytes;
    if (name.size) {
        if (strncmp(symbol, (const char *)name.data, name.size))
            return false;
        symbol += name.size;
        if (!*symbol)
            return d != &file; // a package is no symbol
        if (*symbol++ != '.')
            return false;
    }
    r.at = bytes.data;
    while (next_item(&r, &item))
        for (size_t i = 0; i < 4 && d->inner[i].what; i++)
            if (item.number == d->inner[i].field && declares(d->inner[i].what, item.bytes, symbol))
                return true;
    return false;
}

// ---- files

struct files {
    const struct nrpc_file **at;
    size_t count, capacity;
};

// A file and all that it imports, each once.
static void add_file(struct files *files, const struct nrpc_file *f)
{
    for (size_t i = 0; i < files->count; i++)
        if (files->at[i] == f || !strcmp(files->at[i]->name, f->name))
            return;
    mem_grow(&files->at, &files->capacity, files->count + 1, sizeof(const struct nrpc_file *));
    files->at[files->count++] = f;
    for (const struct nrpc_file *const *import = f->imports; import && *import; import++)
        add_file(files, *import);
}

static struct files files_of(struct nrpc_server *server)
{
    struct files files = {0};
    const struct nrpc_service *s;
    for (size_t i = 0; (s = nrpc_server_service(server, i)); i++)
        if (s->file)
            add_file(&files, s->file);
    return files;
}

static bool is_wanted(const struct nrpc_file *f, const Nrpc__V1__FileDescriptorsRequest *q)
{
    if (q->what_case == NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT_FILE_NAME)
        return !strcmp(f->name, q->file_name);
    return declares(&file, (struct wire_bytes){f->descriptor, f->descriptor_bytes}, q->symbol);
}

static void reply_files(struct nrpc_call *call, const struct nrpc_file *f)
{
    Nrpc__V1__FileDescriptorsResponse r = NRPC__V1__FILE_DESCRIPTORS_RESPONSE__INIT;
    struct files files = {0};
    add_file(&files, f);
    r.n_file_descriptors = files.count;
    r.file_descriptors = mem_calloc(files.count, sizeof *r.file_descriptors);
    for (size_t i = 0; i < files.count; i++)
        r.file_descriptors[i] =
            (ProtobufCBinaryData){files.at[i]->descriptor_bytes, (uint8_t *)files.at[i]->descriptor};
    nrpc_v1_reflection_file_descriptors_reply(call, &r);
    free(r.file_descriptors);
    free(files.at);
}

// ---- the methods

static void on_list_services(struct nrpc_call *call, const Nrpc__V1__ListServicesRequest *q, void *user)
{
    (void)q;
    Nrpc__V1__ListServicesResponse r = NRPC__V1__LIST_SERVICES_RESPONSE__INIT;
    const struct nrpc_service *s;
    size_t n = 0;
    while (nrpc_server_service(user, n))
        n++;
    Nrpc__V1__ServiceInfo *infos = mem_calloc(n, sizeof *infos);
    r.services = mem_calloc(n, sizeof *r.services);
    for (; (s = nrpc_server_service(user, r.n_services)); r.n_services++) {
        Nrpc__V1__ServiceInfo *info = r.services[r.n_services] = &infos[r.n_services];
        nrpc__v1__service_info__init(info);
        info->name = (char *)s->name;
        if (s->file)
            info->file_name = (char *)s->file->name;
    }
    nrpc_v1_reflection_list_services_reply(call, &r);
    free(r.services);
    free(infos);
}

static void on_file_descriptors(struct nrpc_call *call, const Nrpc__V1__FileDescriptorsRequest *q, void *user)
{
    if (q->what_case == NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT__NOT_SET) {
        nrpc_reply_error(call, NRPC_INVALID_ARGUMENT, "neither symbol nor file_name is given");
        return;
    }
    struct files files = files_of(user);
    const struct nrpc_file *found = NULL;
    for (size_t i = 0; i < files.count && !found; i++)
        if (is_wanted(files.at[i], q))
            found = files.at[i];
    if (found)
        reply_files(call, found);
    else if (q->what_case == NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT_SYMBOL)
        nrpc_reply_error(call, NRPC_NOT_FOUND, "no file declares \"%s\"", q->symbol);
    else
        nrpc_reply_error(call, NRPC_NOT_FOUND, "no file \"%s\"", q->file_name);
    free(files.at);
}

static const struct nrpc_v1_reflection_handlers handlers = {.list_services = on_list_services,
                                                            .file_descriptors = on_file_descriptors};

int nrpc_reflection_add(struct nrpc_server *server, struct nrpc_status *st)
{
    return nrpc_v1_reflection_register(server, NRPC_INLINE, &handlers, server, st);
}
