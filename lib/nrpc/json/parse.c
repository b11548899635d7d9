// SPDX-License-Identifier: Apache-2.0
// parse.c: JSON into a message's bytes. jansson reads the text; the tree that it makes is walked once.
#include "nrpc/json/json.h"

#include "base/mem.h"
#include "nrpc/json/base64.h"
#include "nrpc/json/options.h"
#include "nrpc/json/path.h"
#include "nrpc/json/scalar.h"
#include "nrpc/json/wellknown.h"

#include <stdlib.h>
#include <string.h>

enum {
    COMMA_COST = 1,   // jansson takes 40 to 80 bytes for a value
    BRACKET_COST = 8, // and up to 300 for an object or a list
    COST_LEAST = 1 << 14,
    SHOWN_MAX = 48,
};

struct parse {
    struct nrpc_json_options options;
    struct buffer wire;
    const struct path *path;
    int depth;
    struct nrpc_status *st;
};

static int parse_message(struct parse *p, const struct schema_message *m, const json_t *v, bool is_any);

#define FAIL(p, code, ...) path_fail((p)->path, (p)->st, code, __VA_ARGS__)

// ---- what is wrong

// The value as it stands in the text, if it is short.
static const char *show(const json_t *v, char *out)
{
    if (json_is_object(v) || json_is_array(v))
        return json_is_object(v) ? "an object" : "a list";
    size_t size = json_dumpb(v, out, SHOWN_MAX - 1, JSON_ENCODE_ANY);
    if (size > SHOWN_MAX - 1) {
        size = SHOWN_MAX - 1;
        memcpy(out + size - strlen("..."), "...", strlen("..."));
    }
    out[size] = 0;
    return out;
}

static int fail_value(struct parse *p, const json_t *v, const char *what)
{
    char shown[SHOWN_MAX];
    return FAIL(p, NRPC_INVALID_ARGUMENT, "%s is no %s", show(v, shown), what);
}

static int fail_scalar(struct parse *p, const json_t *v, const char *what, enum scalar_result result)
{
    char shown[SHOWN_MAX];
    if (result == SCALAR_WRONG)
        return fail_value(p, v, what);
    return FAIL(p, NRPC_INVALID_ARGUMENT, "%s is out of the range of %s", show(v, shown), what);
}

// ---- single values

// Whether the string is one without a NUL in it.
static bool is_text(const json_t *v)
{
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
}

static int parse_enum(struct parse *p, const struct schema_enum *e, const json_t *v, uint64_t *value)
{
    if (json_is_null(v) && e->is_null_value) {
        *value = 0;
        return NRPC_OK;
    }
    if (json_is_number(v)) {
        enum scalar_result result = scalar_parse(SCHEMA_ENUM, v, value);
        return result ? fail_scalar(p, v, e->full_name, result) : NRPC_OK;
    }
    const struct schema_value *known = is_text(v) ? schema_value_named(e, json_string_value(v)) : NULL;
    if (!known)
        return fail_value(p, v, e->full_name);
    *value = (uint64_t)known->number;
    return NRPC_OK;
}

static int parse_number(struct parse *p, const struct schema_field *f, const json_t *v, uint64_t *value)
{
    if (f->enumeration)
        return parse_enum(p, f->enumeration, v, value);
    enum scalar_result result = scalar_parse(f->type, v, value);
    return result ? fail_scalar(p, v, schema_type_name(f->type), result) : NRPC_OK;
}

static int parse_string(struct parse *p, const struct schema_field *f, const json_t *v, bool keeps_zero)
{
    if (!json_is_string(v))
        return fail_value(p, v, schema_type_name(f->type));
    size_t size = json_string_length(v);
    if (size > 0 || keeps_zero)
        pbwire_put_bytes(&p->wire, f->number, json_string_value(v), size);
    return NRPC_OK;
}

static int parse_bytes(struct parse *p, const struct schema_field *f, const json_t *v, bool keeps_zero)
{
    if (!json_is_string(v))
        return fail_value(p, v, schema_type_name(f->type));
    size_t length = json_string_length(v), size;
    unsigned char *data = mem_alloc(length / 4 * 3 + 3);
    bool is_base64 = base64_decode(json_string_value(v), length, data, &size);
    if (is_base64 && (size > 0 || keeps_zero))
        pbwire_put_bytes(&p->wire, f->number, data, size);
    free(data);
    return is_base64 ? NRPC_OK : fail_value(p, v, "base64");
}

// keeps_zero: writes the value even if it is the one that the field has without being written.
static int parse_single(struct parse *p, const struct schema_field *f, const json_t *v, bool keeps_zero)
{
    uint64_t value = 0;
    size_t opened;
    int code;
    switch (f->type) {
    case SCHEMA_GROUP:
        return FAIL(p, NRPC_UNIMPLEMENTED, "groups have no JSON");
    case SCHEMA_STRING:
        return parse_string(p, f, v, keeps_zero);
    case SCHEMA_BYTES:
        return parse_bytes(p, f, v, keeps_zero);
    case SCHEMA_MESSAGE:
        pbwire_put_tag(&p->wire, f->number, PBWIRE_BYTES);
        opened = pbwire_open(&p->wire);
        code = parse_message(p, f->message, v, false);
        pbwire_close(&p->wire, opened);
        return code;
    default:
        code = parse_number(p, f, v, &value);
        if (code || (value == 0 && !keeps_zero))
            return code;
        pbwire_put_tag(&p->wire, f->number, scalar_wire(f->type));
        pbwire_put_bits(&p->wire, scalar_wire(f->type), scalar_to_wire(f->type, value));
        return NRPC_OK;
    }
}

// ---- lists and maps

// Whether null is a value of the field, and not the lack of one.
static bool takes_null(const struct schema_field *f)
{
    return (f->message && f->message->special == SCHEMA_VALUE) ||
           (f->enumeration && f->enumeration->is_null_value);
}

static int parse_element(struct parse *p, const struct schema_field *f, const json_t *v)
{
    uint64_t value = 0;
    if (json_is_null(v) && !takes_null(f))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "null cannot be an element");
    if (!f->is_packed)
        return parse_single(p, f, v, true);
    int code = parse_number(p, f, v, &value);
    if (!code)
        pbwire_put_bits(&p->wire, scalar_wire(f->type), scalar_to_wire(f->type, value));
    return code;
}

static int parse_list(struct parse *p, const struct schema_field *f, const json_t *v)
{
    if (!json_is_array(v))
        return fail_value(p, v, "list");
    size_t count = json_array_size(v), opened = 0;
    bool is_packed = f->is_packed && count > 0;
    if (is_packed) {
        pbwire_put_tag(&p->wire, f->number, PBWIRE_BYTES);
        opened = pbwire_open(&p->wire);
    }
    struct path step = {0};
    path_enter(&p->path, &step);
    int code = NRPC_OK;
    for (; step.index < count && !code; step.index += !code)
        code = parse_element(p, f, json_array_get(v, step.index));
    path_leave(&p->path);
    if (is_packed)
        pbwire_close(&p->wire, opened);
    return code;
}

static int parse_key(struct parse *p, const struct schema_field *f, const char *key)
{
    uint64_t value;
    if (f->type == SCHEMA_STRING) {
        pbwire_put_bytes(&p->wire, f->number, key, strlen(key));
        return NRPC_OK;
    }
    enum scalar_result result = scalar_parse_key(f->type, key, &value);
    if (result)
        return FAIL(p, NRPC_INVALID_ARGUMENT, "\"%.40s\" is no key of type %s", key,
                    schema_type_name(f->type));
    pbwire_put_tag(&p->wire, f->number, scalar_wire(f->type));
    pbwire_put_bits(&p->wire, scalar_wire(f->type), scalar_to_wire(f->type, value));
    return NRPC_OK;
}

static int parse_entry(struct parse *p, const struct schema_field *f, const char *key, const json_t *v)
{
    const struct schema_field *of_value = &f->message->fields[1];
    int code = parse_key(p, &f->message->fields[0], key);
    if (code)
        return code;
    struct path step = {.key = key, .key_size = strlen(key)};
    path_enter(&p->path, &step);
    if (json_is_null(v) && !takes_null(of_value))
        code = FAIL(p, NRPC_INVALID_ARGUMENT, "null cannot be a value");
    else
        code = parse_single(p, of_value, v, true);
    path_leave(&p->path);
    return code;
}

static int parse_map(struct parse *p, const struct schema_field *f, const json_t *v)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return fail_value(p, v, "object");
    json_object_foreach((json_t *)v, key, value)
    {
        pbwire_put_tag(&p->wire, f->number, PBWIRE_BYTES);
        size_t opened = pbwire_open(&p->wire);
        int code = parse_entry(p, f, key, value);
        pbwire_close(&p->wire, opened);
        if (code)
            return code;
    }
    return NRPC_OK;
}

// ---- fields

static int parse_value(struct parse *p, const struct schema_field *f, const json_t *v)
{
    if (f->is_map)
        return parse_map(p, f, v);
    return f->is_repeated ? parse_list(p, f, v) : parse_single(p, f, v, f->has_presence);
}

static bool is_unset(const struct schema_field *f, const json_t *v)
{
    return !v || (json_is_null(v) && (f->is_repeated || !takes_null(f)));
}

// Another member of the field's oneof that the object has too; NULL: none. Of two, it is the first's that
// looks.
static const struct schema_field *find_rival(const struct schema_field *f, const json_t *object)
{
    const struct schema_field *end = f->parent->fields + f->parent->field_count;
    for (const struct schema_field *g = f + 1; f->oneof && g < end; g++)
        if (g->oneof == f->oneof && (!is_unset(g, json_object_get(object, g->json_name)) ||
                                     !is_unset(g, json_object_get(object, g->name))))
            return g;
    return NULL;
}

static int parse_field(struct parse *p, const struct schema_field *f, const char *name, const json_t *v,
                       const json_t *object)
{
    const char *other = strcmp(name, f->name) ? f->name : f->json_name;
    if (strcmp(name, other) && json_object_get(object, other))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "%.60s and %.60s are the same field", f->json_name, f->name);
    if (is_unset(f, v))
        return NRPC_OK;
    const struct schema_field *rival = find_rival(f, object);
    if (rival)
        return FAIL(p, NRPC_INVALID_ARGUMENT, "only one of %.60s and %.60s can be set", f->json_name,
                    rival->json_name);
    struct path step = {.name = name};
    path_enter(&p->path, &step);
    int code = parse_value(p, f, v);
    path_leave(&p->path);
    return code;
}

// is_any: the object is that of an Any, with "@type" among its fields.
static int parse_fields(struct parse *p, const struct schema_message *m, const json_t *object, bool is_any)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const struct schema_field *f = schema_field_named(m, name);
        if ((is_any && strcmp(name, "@type") == 0) || (!f && p->options.ignore_unknown))
            continue;
        if (!f)
            return FAIL(p, NRPC_INVALID_ARGUMENT, "%.100s has no field \"%.60s\"", m->full_name, name);
        int code = parse_field(p, f, name, value, object);
        if (code)
            return code;
    }
    return NRPC_OK;
}

// ---- messages with a form of their own

static int parse_plain(struct parse *p, const struct schema_message *m, const json_t *v)
{
    return json_is_object(v) ? parse_fields(p, m, v, false) : fail_value(p, v, m->full_name);
}

static void put_varint(struct parse *p, uint32_t number, int64_t value)
{
    if (value == 0)
        return;
    pbwire_put_tag(&p->wire, number, PBWIRE_VARINT);
    pbwire_put_bits(&p->wire, PBWIRE_VARINT, (uint64_t)value);
}

static int parse_time(struct parse *p, const struct schema_message *m, const json_t *v)
{
    int64_t seconds = 0;
    int32_t nanos = 0;
    bool is_time = m->special == SCHEMA_TIMESTAMP;
    if (!is_text(v) ||
        !(is_time ? timestamp_from_text : duration_from_text)(json_string_value(v), &seconds, &nanos))
        return fail_value(p, v, m->full_name);
    put_varint(p, 1, seconds);
    put_varint(p, 2, nanos);
    return NRPC_OK;
}

static int parse_mask(struct parse *p, const struct schema_message *m, const json_t *v)
{
    if (!is_text(v))
        return fail_value(p, v, m->full_name);
    const char *text = json_string_value(v);
    bool is_fine = true;
    for (bool is_end = !*text; !is_end && is_fine;) {
        size_t length = strcspn(text, ","), size;
        char *path = mem_alloc(2 * length);
        is_fine = mask_from_text(text, length, path, &size);
        if (is_fine)
            pbwire_put_bytes(&p->wire, m->fields[0].number, path, size);
        free(path);
        is_end = !text[length];
        text += length + 1;
    }
    return is_fine ? NRPC_OK : fail_value(p, v, m->full_name);
}

static int parse_struct(struct parse *p, const struct schema_message *m, const json_t *v)
{
    return parse_value(p, &m->fields[0], v);
}

static int parse_wrapped(struct parse *p, const struct schema_message *m, const json_t *v)
{
    return parse_single(p, &m->fields[0], v, false);
}

static int parse_dynamic(struct parse *p, const struct schema_message *m, const json_t *v)
{
    static const uint32_t kinds[] = {
        [JSON_OBJECT] = 5, [JSON_ARRAY] = 6, [JSON_STRING] = 3, [JSON_INTEGER] = 2,
        [JSON_REAL] = 2,   [JSON_TRUE] = 4,  [JSON_FALSE] = 4,  [JSON_NULL] = 1,
    };
    return parse_single(p, schema_field(m, kinds[json_typeof(v)]), v, true);
}

// The value of an Any whose type has a form of its own.
static int parse_boxed(struct parse *p, const struct schema_message *type, const json_t *v)
{
    const char *name;
    json_t *value;
    json_object_foreach(
        (json_t *)v, name,
        value) if (strcmp(name, "@type") && strcmp(name, "value") &&
                   !p->options.ignore_unknown) return FAIL(p, NRPC_INVALID_ARGUMENT,
                                                           "a %.80s in an Any has no field \"%.60s\"",
                                                           type->full_name, name);
    value = json_object_get(v, "value");
    if (!value)
        return FAIL(p, NRPC_INVALID_ARGUMENT, "a %.80s in an Any needs \"value\"", type->full_name);
    struct path step = {.name = "value"};
    path_enter(&p->path, &step);
    int code = parse_message(p, type, value, false);
    path_leave(&p->path);
    return code;
}

static int parse_any(struct parse *p, const struct schema_message *m, const json_t *v)
{
    const json_t *url = json_object_get(v, "@type");
    if (!json_is_object(v))
        return fail_value(p, v, m->full_name);
    if (json_object_size(v) == 0)
        return NRPC_OK;
    if (!is_text(url))
        return FAIL(p, NRPC_INVALID_ARGUMENT, "an Any needs \"@type\"");
    const char *slash = strrchr(json_string_value(url), '/');
    const struct schema_message *type = slash ? schema_message(m->schema, slash + 1) : NULL;
    if (!type)
        return FAIL(p, NRPC_NOT_FOUND, "the schema has no type \"%.100s\"", json_string_value(url));
    pbwire_put_bytes(&p->wire, 1, json_string_value(url), json_string_length(url));
    pbwire_put_tag(&p->wire, 2, PBWIRE_BYTES);
    size_t opened = pbwire_open(&p->wire);
    int code = type->special == SCHEMA_PLAIN ? parse_message(p, type, v, true) : parse_boxed(p, type, v);
    pbwire_close(&p->wire, opened);
    return code;
}

// ----

static int (*const parsers[])(struct parse *, const struct schema_message *, const json_t *) = {
    [SCHEMA_PLAIN] = parse_plain,     [SCHEMA_ANY] = parse_any,           [SCHEMA_DURATION] = parse_time,
    [SCHEMA_FIELD_MASK] = parse_mask, [SCHEMA_LIST_VALUE] = parse_struct, [SCHEMA_STRUCT] = parse_struct,
    [SCHEMA_TIMESTAMP] = parse_time,  [SCHEMA_VALUE] = parse_dynamic,     [SCHEMA_WRAPPER] = parse_wrapped,
};

static int parse_message(struct parse *p, const struct schema_message *m, const json_t *v, bool is_any)
{
    if (p->depth == DEPTH_MAX)
        return FAIL(p, NRPC_RESOURCE_EXHAUSTED, "messages nest deeper than %d", DEPTH_MAX);
    p->depth++;
    int code = is_any ? parse_fields(p, m, v, true) : parsers[m->special](p, m, v);
    p->depth--;
    return code;
}

// jansson's tree takes many times the memory of its text where that is all brackets and commas. An honest
// message has about as many bytes as this counts, or more.
static size_t measure_cost(const char *text, size_t length)
{
    size_t cost = 0;
    bool is_string = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && is_string)
            i++;
        else if (text[i] == '"')
            is_string = !is_string;
        else if (!is_string && (text[i] == '{' || text[i] == '['))
            cost += BRACKET_COST;
        else if (!is_string && text[i] == ',')
            cost += COMMA_COST;
    }
    return cost;
}

static int read_text(struct parse *p, const char *text, size_t length, json_t **out)
{
    json_error_t error;
    if (length > p->options.text_bytes_max)
        return FAIL(p, NRPC_RESOURCE_EXHAUSTED, "the JSON is larger than %zu bytes",
                    p->options.text_bytes_max);
    if (measure_cost(text, length) > p->options.wire_bytes_max + COST_LEAST)
        return FAIL(p, NRPC_RESOURCE_EXHAUSTED, "the JSON has too many values for a message of %zu bytes",
                    p->options.wire_bytes_max);
    *out = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (*out)
        return NRPC_OK;
    bool is_number = json_error_code(&error) == json_error_numeric_overflow;
    return FAIL(p, NRPC_INVALID_ARGUMENT, "line %d, column %d: %s%s", error.line, error.column, error.text,
                is_number ? "; write so large a number as a string" : "");
}

int nrpc_json_to_wire(const struct schema_message *type, const char *text, size_t length,
                      const struct nrpc_json_options *options, uint8_t **wire, size_t *size,
                      struct nrpc_status *st)
{
    struct parse p = {.options = options_settle(options), .st = st};
    p.wire.limit = p.options.wire_bytes_max;
    json_t *v = NULL;
    int code = read_text(&p, text, length, &v);
    if (code)
        return code;
    code = parse_message(&p, type, v, false);
    json_decref(v);
    if (!code && p.wire.is_full)
        code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "the message is larger than %zu bytes",
                          p.options.wire_bytes_max);
    if (code) {
        free(p.wire.data);
        return code;
    }
    *wire = p.wire.data ? p.wire.data : mem_alloc(0);
    *size = p.wire.size;
    return status_ok(st);
}
