// SPDX-License-Identifier: Apache-2.0
// print.c: a message's bytes into JSON, straight into the text, message by message.
#include "nrpc/json/json.h"

#include "base/mem.h"
#include "nrpc/json/base64.h"
#include "nrpc/json/options.h"
#include "nrpc/json/path.h"
#include "nrpc/json/pieces.h"
#include "nrpc/json/scalar.h"
#include "nrpc/json/wellknown.h"
#include "nrpc/json/writer.h"

#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_FACTOR = 64, // of the message's bytes: one of two bytes is a piece, a map's one an entry too
    MEMORY_LEAST = 1 << 16,
};

struct print {
    struct nrpc_json_options options;
    struct writer w;
    struct arena scratch;
    const struct path *path;
    int depth;
    struct nrpc_status *st;
};

static int print_message(struct print *p, const struct schema_message *m, const uint8_t *data, size_t size,
                         bool is_open);

#define FAIL(p, code, ...) path_fail((p)->path, (p)->st, code, __VA_ARGS__)

static int fail_memory(struct print *p)
{
    return FAIL(p, NRPC_RESOURCE_EXHAUSTED, "the message takes too much memory");
}

// ---- single values

static int print_string(struct print *p, const void *text, size_t size)
{
    if (!writer_string(&p->w, text, size))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "a string is not UTF-8");
    return NRPC_OK;
}

static void print_bytes(struct print *p, const uint8_t *data, size_t size)
{
    size_t length = base64_length(size);
    char *text = mem_alloc(length);
    base64_encode(data, size, text);
    writer_literal(&p->w, text, length, true);
    free(text);
}

static int print_number(struct print *p, const struct schema_field *f, uint64_t bits)
{
    char text[SCALAR_TEXT_MAX];
    uint64_t value = scalar_from_wire(f->type, bits);
    const struct schema_value *known = f->enumeration ? schema_value(f->enumeration, (int32_t)value) : NULL;
    if (f->enumeration && f->enumeration->is_null_value) {
        writer_literal(&p->w, "null", strlen("null"), false);
        return NRPC_OK;
    }
    if (known)
        return print_string(p, known->name, strlen(known->name));
    bool is_quoted = scalar_print(f->type, value, text);
    writer_literal(&p->w, text, strlen(text), is_quoted);
    return NRPC_OK;
}

// A message that came in several pieces is what they make one after another.
static int print_merged(struct print *p, const struct schema_message *m, struct pieces pieces)
{
    size_t size = 0;
    for (size_t i = 0; i < pieces.count; i++)
        size += pieces.at[i].size;
    uint8_t *all = arena_alloc(&p->scratch, size);
    if (!all)
        return fail_memory(p);
    size = 0;
    for (size_t i = 0; i < pieces.count; i++) {
        memcpy(all + size, pieces.at[i].data, pieces.at[i].size);
        size += pieces.at[i].size;
    }
    return print_message(p, m, all, size, false);
}

// One value of a field; none is the zero value.
static int print_single(struct print *p, const struct schema_field *f, struct pieces pieces)
{
    static const struct piece zero;
    const struct piece *last = pieces.count > 0 ? &pieces.at[pieces.count - 1] : &zero;
    switch (f->type) {
    case SCHEMA_GROUP:
        return FAIL(p, NRPC_UNIMPLEMENTED, "groups have no JSON");
    case SCHEMA_MESSAGE:
        if (pieces.count > 1)
            return print_merged(p, f->message, pieces);
        return print_message(p, f->message, last->data, last->size, false);
    case SCHEMA_STRING:
        return print_string(p, last->data, last->size);
    case SCHEMA_BYTES:
        print_bytes(p, last->data, last->size);
        return NRPC_OK;
    default:
        return print_number(p, f, last->bits);
    }
}

// ---- lists and maps

static int print_element(struct print *p, const struct schema_field *f, const struct piece *piece,
                         size_t index)
{
    struct path step = {.index = index};
    path_enter(&p->path, &step);
    int code = print_single(p, f, (struct pieces){piece, 1});
    path_leave(&p->path);
    return code;
}

static int print_packed(struct print *p, const struct schema_field *f, const struct piece *packed,
                        size_t *index)
{
    struct pbwire_reader r = pbwire_reader(packed->data, packed->size);
    struct piece one = {.field = f};
    int code = NRPC_OK;
    while (r.at != r.end && !code && !p->w.text.is_full) {
        if (!pbwire_bits(&r, scalar_wire(f->type), &one.bits))
            return FAIL(p, NRPC_INVALID_ARGUMENT, "the packed list is broken");
        code = print_element(p, f, &one, (*index)++);
    }
    return code;
}

static int print_list(struct print *p, const struct schema_field *f, struct pieces pieces)
{
    size_t index = 0;
    int code = NRPC_OK;
    writer_open(&p->w, '[');
    for (size_t i = 0; i < pieces.count && !code && !p->w.text.is_full; i++) {
        if (pieces.at[i].is_packed)
            code = print_packed(p, f, &pieces.at[i], &index);
        else
            code = print_element(p, f, &pieces.at[i], index++);
    }
    writer_close(&p->w, ']');
    return code;
}

struct entry { // of a map
    const char *key;
    size_t key_size, order;
    struct pieces value;
};

static int compare_keys(const struct entry *a, const struct entry *b)
{
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = size > 0 ? memcmp(a->key, b->key, size) : 0;
    return order ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_keys(x, y);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static int take_entry(struct print *p, const struct schema_message *m, const struct piece *piece,
                      struct entry *out)
{
    struct pieces all;
    char text[SCALAR_TEXT_MAX];
    enum pieces_result result = pieces_take(&p->scratch, m, piece->data, piece->size, &all);
    if (result == PIECES_BROKEN)
        return FAIL(p, NRPC_INVALID_ARGUMENT, "an entry of the map is broken");
    if (result == PIECES_MEMORY)
        return fail_memory(p);
    struct pieces key = pieces_of(&all, &m->fields[0]);
    const struct piece *last = key.count > 0 ? &key.at[key.count - 1] : NULL;
    *out = (struct entry){.order = out->order, .value = pieces_of(&all, &m->fields[1])};
    if (m->fields[0].type == SCHEMA_STRING) {
        out->key = last ? (const char *)last->data : "";
        out->key_size = last ? last->size : 0;
        return NRPC_OK;
    }
    scalar_print(m->fields[0].type, scalar_from_wire(m->fields[0].type, last ? last->bits : 0), text);
    out->key = arena_strdup(&p->scratch, text);
    out->key_size = strlen(text);
    return out->key ? NRPC_OK : fail_memory(p);
}

static int print_entry(struct print *p, const struct schema_message *m, const struct entry *e)
{
    struct path step = {.key = e->key, .key_size = e->key_size};
    if (!writer_key(&p->w, e->key, e->key_size))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "a key is not UTF-8");
    path_enter(&p->path, &step);
    int code = print_single(p, &m->fields[1], e->value);
    path_leave(&p->path);
    return code;
}

// Of entries with the same key the last counts.
static int print_map(struct print *p, const struct schema_field *f, struct pieces pieces)
{
    struct entry *entries = arena_alloc(&p->scratch, pieces.count * sizeof *entries);
    if (!entries)
        return fail_memory(p);
    int code = NRPC_OK;
    for (size_t i = 0; i < pieces.count && !code; i++) {
        entries[i].order = i;
        code = take_entry(p, f->message, &pieces.at[i], &entries[i]);
    }
    if (code)
        return code;
    if (pieces.count > 0)
        qsort(entries, pieces.count, sizeof *entries, compare_entries);
    writer_open(&p->w, '{');
    for (size_t i = 0; i < pieces.count && !code && !p->w.text.is_full; i++) {
        bool is_last = i + 1 == pieces.count || compare_keys(&entries[i], &entries[i + 1]) != 0;
        if (is_last)
            code = print_entry(p, f->message, &entries[i]);
    }
    writer_close(&p->w, '}');
    return code;
}

// ---- fields

static int print_value(struct print *p, const struct schema_field *f, struct pieces pieces)
{
    if (f->is_map)
        return print_map(p, f, pieces);
    return f->is_repeated ? print_list(p, f, pieces) : print_single(p, f, pieces);
}

// Whether the field is as if it had not come.
static bool is_unset(const struct schema_field *f, struct pieces pieces)
{
    if (f->is_repeated) {
        for (size_t i = 0; i < pieces.count; i++)
            if (!pieces.at[i].is_packed || pieces.at[i].size > 0)
                return false;
        return true;
    }
    if (f->has_presence || pieces.count == 0)
        return pieces.count == 0;
    const struct piece *last = &pieces.at[pieces.count - 1];
    if (scalar_wire(f->type) == PBWIRE_BYTES)
        return last->size == 0;
    bool is_null = f->enumeration && f->enumeration->is_null_value; // whatever its number
    return is_null || scalar_from_wire(f->type, last->bits) == 0;
}

static int print_field(struct print *p, const struct schema_field *f, struct pieces pieces)
{
    if (is_unset(f, pieces) && (!p->options.emit_defaults || f->has_presence))
        return NRPC_OK;
    const char *name = p->options.proto_names ? f->name : f->json_name;
    struct path step = {.name = name};
    if (!writer_key(&p->w, name, strlen(name)))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "the name of field %u is not UTF-8", f->number);
    path_enter(&p->path, &step);
    int code = print_value(p, f, pieces);
    path_leave(&p->path);
    return code;
}

// The groups [from, to), of which nothing came.
static int print_absent(struct print *p, const struct schema_message *m, size_t from, size_t to)
{
    int code = NRPC_OK;
    for (size_t i = from; p->options.emit_defaults && i < to && !code; i++)
        code = print_field(p, &m->fields[i], (struct pieces){0});
    return code;
}

static int print_fields(struct print *p, const struct schema_message *m, struct pieces all)
{
    int code = NRPC_OK;
    size_t done = 0;
    while (all.count > 0 && !code && !p->w.text.is_full) {
        struct pieces group = pieces_next(&all);
        code = print_absent(p, m, done, group.at->field->group);
        if (!code)
            code = print_field(p, group.at->field, group);
        done = group.at->field->group + 1;
    }
    return code ? code : print_absent(p, m, done, m->field_count);
}

// ---- messages with a form of their own

static int print_plain(struct print *p, const struct schema_message *m, struct pieces all)
{
    writer_open(&p->w, '{');
    int code = print_fields(p, m, all);
    writer_close(&p->w, '}');
    return code;
}

// The last value of the field with this number.
static struct piece last_of(const struct schema_message *m, const struct pieces *all, uint32_t number)
{
    struct pieces pieces = pieces_of(all, schema_field(m, number));
    return pieces.count > 0 ? pieces.at[pieces.count - 1] : (struct piece){0};
}

static int print_time(struct print *p, const struct schema_message *m, struct pieces all)
{
    char text[WELLKNOWN_TEXT_MAX];
    int64_t seconds = (int64_t)last_of(m, &all, 1).bits;
    int32_t nanos = (int32_t)last_of(m, &all, 2).bits;
    bool is_time = m->special == SCHEMA_TIMESTAMP;
    if (!(is_time ? timestamp_to_text : duration_to_text)(seconds, nanos, text))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "the %s is out of range", m->full_name);
    writer_literal(&p->w, text, strlen(text), true);
    return NRPC_OK;
}

static int print_mask(struct print *p, const struct schema_message *m, struct pieces all)
{
    struct pieces paths = pieces_of(&all, &m->fields[0]);
    struct buffer text = {.limit = p->options.text_bytes_max};
    bool is_fine = true;
    for (size_t i = 0; i < paths.count && is_fine; i++) {
        char *path = mem_alloc(2 * (size_t)paths.at[i].size);
        size_t size;
        is_fine = mask_to_text((const char *)paths.at[i].data, paths.at[i].size, path, &size);
        if (is_fine) {
            buffer_add(&text, ",", i > 0);
            buffer_add(&text, path, size);
        }
        free(path);
    }
    int code;
    if (is_fine)
        code = print_string(p, text.data, text.size);
    else
        code = FAIL(p, NRPC_INVALID_ARGUMENT, "a path has no form in JSON");
    p->w.text.is_full |= text.is_full;
    free(text.data);
    return code;
}

static int print_struct(struct print *p, const struct schema_message *m, struct pieces all)
{
    return print_value(p, &m->fields[0], pieces_of(&all, &m->fields[0]));
}

static int print_wrapped(struct print *p, const struct schema_message *m, struct pieces all)
{
    return print_single(p, &m->fields[0], pieces_of(&all, &m->fields[0]));
}

static bool is_finite(uint64_t bits)
{
    return (bits >> 52 & 0x7ff) != 0x7ff;
}

static int print_dynamic(struct print *p, const struct schema_message *m, struct pieces all)
{
    (void)m;
    if (all.count == 0) {
        writer_literal(&p->w, "null", strlen("null"), false);
        return NRPC_OK;
    }
    struct pieces kind = pieces_next(&all);
    const struct schema_field *f = kind.at->field;
    if (f->type == SCHEMA_DOUBLE && !is_finite(kind.at[kind.count - 1].bits))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "a google.protobuf.Value cannot be infinite or NaN");
    return print_single(p, f, kind);
}

// The type that the last part of a URL names; NULL: it is not in the schema.
static const struct schema_message *find_type(const struct schema *schema, const uint8_t *url, size_t size)
{
    char name[SCHEMA_NAME_MAX + 1];
    size_t begin = size;
    while (begin > 0 && url[begin - 1] != '/')
        begin--;
    if (begin == 0 || size - begin >= sizeof name)
        return NULL;
    memcpy(name, url + begin, size - begin);
    name[size - begin] = 0;
    return schema_message(schema, name);
}

static int print_any(struct print *p, const struct schema_message *m, struct pieces all)
{
    struct piece url = last_of(m, &all, 1), value = last_of(m, &all, 2);
    if (url.size == 0 && value.size == 0)
        return print_plain(p, m, (struct pieces){0});
    const struct schema_message *type = find_type(m->schema, url.data, url.size);
    if (!type)
        return FAIL(p, NRPC_NOT_FOUND, "the schema has no type \"%.*s\"",
                    (int)(url.size < 100 ? url.size : 100), url.data ? (const char *)url.data : "");
    writer_open(&p->w, '{');
    writer_key(&p->w, "@type", strlen("@type"));
    int code = print_string(p, url.data, url.size);
    bool is_special = type->special != SCHEMA_PLAIN;
    if (!code && is_special)
        writer_key(&p->w, "value", strlen("value"));
    if (!code)
        code = print_message(p, type, value.data, value.size, !is_special);
    writer_close(&p->w, '}');
    return code;
}

// ----

static int (*const printers[])(struct print *, const struct schema_message *, struct pieces) = {
    [SCHEMA_PLAIN] = print_plain,     [SCHEMA_ANY] = print_any,           [SCHEMA_DURATION] = print_time,
    [SCHEMA_FIELD_MASK] = print_mask, [SCHEMA_LIST_VALUE] = print_struct, [SCHEMA_STRUCT] = print_struct,
    [SCHEMA_TIMESTAMP] = print_time,  [SCHEMA_VALUE] = print_dynamic,     [SCHEMA_WRAPPER] = print_wrapped,
};

// is_open: its fields go into the object that is open already.
static int print_message(struct print *p, const struct schema_message *m, const uint8_t *data, size_t size,
                         bool is_open)
{
    struct pieces all;
    if (p->depth == DEPTH_MAX)
        return FAIL(p, NRPC_RESOURCE_EXHAUSTED, "messages nest deeper than %d", DEPTH_MAX);
    enum pieces_result result = pieces_take(&p->scratch, m, data, size, &all);
    if (result == PIECES_BROKEN)
        return FAIL(p, NRPC_INVALID_ARGUMENT, "the bytes are no %s", m->full_name);
    if (result == PIECES_MEMORY)
        return fail_memory(p);
    p->depth++;
    int code = is_open ? print_fields(p, m, all) : printers[m->special](p, m, all);
    p->depth--;
    return code;
}

int nrpc_json_from_wire(const struct schema_message *type, const void *wire, size_t size,
                        const struct nrpc_json_options *options, char **text, struct nrpc_status *st)
{
    struct print p = {.options = options_settle(options), .st = st};
    if (size > p.options.wire_bytes_max || size > UINT32_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the message is larger than %zu bytes",
                          p.options.wire_bytes_max);
    p.w = (struct writer){.is_pretty = p.options.pretty, .text.limit = p.options.text_bytes_max};
    arena_init(&p.scratch, MEMORY_LEAST + size * MEMORY_FACTOR);
    int code = print_message(&p, type, wire, size, false);
    arena_fini(&p.scratch);
    if (!code && p.w.text.is_full)
        code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "the JSON is larger than %zu bytes",
                          p.options.text_bytes_max);
    if (code) {
        free(p.w.text.data);
        return code;
    }
    p.w.text.limit++;
    buffer_add(&p.w.text, "", 1);
    *text = (char *)p.w.text.data;
    return status_ok(st);
}
