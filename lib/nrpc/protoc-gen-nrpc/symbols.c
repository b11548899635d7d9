// SPDX-License-Identifier: Apache-2.0
// symbols.c: follows protobuf-c 1.4's naming of all that it generates; sorts the names to find two equal
// ones.
#include "symbols.h"
#include "names.h"
#include "options.h"
#include "text.h"
#include "types.h"

#include <stdlib.h>
#include <string.h>

void symbols_init(struct symbols *symbols, struct arena *a)
{
    *symbols = (struct symbols){.arena = a};
}

void symbols_fini(struct symbols *symbols)
{
    free(symbols->at);
}

static void add(struct symbols *s, const char *scope, const char *name, const char *owner, struct place place)
{
    mem_grow(&s->at, &s->capacity, s->count + 1, sizeof *s->at);
    s->at[s->count] = (struct symbol){scope, name, owner, place, s->count};
    s->count++;
}

void symbols_add(struct symbols *symbols, const char *name, const char *owner, struct place place)
{
    add(symbols, "", name, owner, place);
}

// ---------------------------------------------------------------- protobuf-c's names

// Something that has names: what it is called in the .proto file, and by protobuf-c.
struct named {
    const char *full_name, *c_name;
    struct place place;
};

static struct named inside(struct arena *a, struct named outer, const char *name, struct place place)
{
    return (struct named){
        .full_name = *outer.full_name ? text_format(a, "%s.%s", outer.full_name, name) : name,
        .c_name = *outer.c_name ? text_format(a, "%s.%s", outer.c_name, name) : name,
        .place = place,
    };
}

static const char *upper(struct arena *a, const char *c_name)
{
    return names_upper(a, names_pbc_lower(a, c_name));
}

// A message's or enum's type and descriptor.
static void add_type(struct symbols *s, struct named type)
{
    struct arena *a = s->arena;
    symbols_add(s, names_pbc_type(a, type.c_name), type.full_name, type.place);
    symbols_add(s, text_format(a, "%s__descriptor", names_pbc_lower(a, type.c_name)), type.full_name,
                type.place);
}

static void add_enums(struct symbols *s, struct named outer, enum_proto *const *enums, size_t count,
                      int32_t number)
{
    struct arena *a = s->arena;
    for (size_t i = 0; i < count; i++) {
        struct named type = inside(a, outer, enums[i]->name, place_in(a, outer.place, number, i));
        add_type(s, type);
        for (size_t v = 0; v < enums[i]->n_value; v++) {
            const char *value = enums[i]->value[v]->name;
            symbols_add(s, text_format(a, "%s__%s", upper(a, type.c_name), value),
                        text_format(a, "%s.%s", type.full_name, value),
                        place_in(a, type.place, PLACE_ENUM_VALUE, v));
        }
    }
}

static void add_field(struct symbols *s, const char *scope, struct named message, const field_proto *field,
                      size_t index)
{
    struct arena *a = s->arena;
    struct named f = inside(a, message, field->name, place_in(a, message.place, PLACE_MESSAGE_FIELD, index));
    const char *member = names_pbc_member(a, field->name);
    add(s, scope, member, f.full_name, f.place);
    if (field->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED)
        add(s, scope, text_format(a, "n_%s", member), f.full_name, f.place);
}

// A oneof's enum of cases, and the member that says which it is.
static void add_oneof(struct symbols *s, const char *scope, struct named message, const message_proto *proto,
                      size_t index)
{
    struct arena *a = s->arena;
    const char *name = request_oneof_name(a, proto, index);
    struct named o = inside(a, message, name, place_in(a, message.place, PLACE_MESSAGE_ONEOF, index));
    add(s, scope, text_format(a, "%s_case", names_pbc_lower(a, name)), o.full_name, o.place);
    symbols_add(s, text_format(a, "%sCase", names_pbc_type(a, o.c_name)), o.full_name, o.place);
    symbols_add(s, text_format(a, "%s__NOT_SET", upper(a, o.c_name)), o.full_name, o.place);
    for (size_t i = 0; i < proto->n_field; i++) {
        const field_proto *field = proto->field[i];
        if (field->has_oneof_index && (size_t)field->oneof_index == index)
            symbols_add(s, text_format(a, "%s_%s", upper(a, o.c_name), upper(a, field->name)),
                        text_format(a, "%s.%s", message.full_name, field->name), o.place);
    }
}

static void add_messages(struct symbols *s, struct named outer, message_proto *const *messages, size_t count,
                         int32_t number)
{
    struct arena *a = s->arena;
    for (size_t i = 0; i < count; i++) {
        const message_proto *m = messages[i];
        struct named type = inside(a, outer, m->name, place_in(a, outer.place, number, i));
        const char *scope = names_pbc_type(a, type.c_name);
        add_type(s, type);
        add(s, scope, options_base_member(a, m), "protobuf-c's own member, see (pb_c_msg).base_field_name",
            type.place);
        for (size_t f = 0; f < m->n_field; f++)
            add_field(s, scope, type, m->field[f], f);
        for (size_t o = 0; o < m->n_oneof_decl; o++)
            add_oneof(s, scope, type, m, o);
        add_enums(s, type, m->enum_type, m->n_enum_type, PLACE_MESSAGE_ENUM);
        add_messages(s, type, m->nested_type, m->n_nested_type, PLACE_MESSAGE_NESTED);
    }
}

void symbols_add_messages(struct symbols *symbols, const file_proto *file)
{
    struct named outer = {
        .full_name = file->package ? file->package : "",
        .c_name = types_c_name(symbols->arena, file, ""),
        .place = {.file = file},
    };
    add_enums(symbols, outer, file->enum_type, file->n_enum_type, PLACE_FILE_ENUM);
    add_messages(symbols, outer, file->message_type, file->n_message_type, PLACE_FILE_MESSAGE);
}

// ---------------------------------------------------------------- clashes

static int by_name(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    if (order == 0)
        order = strcmp(left->scope, right->scope);
    return order ? order : (left->order > right->order) - (left->order < right->order);
}

static bool is_clash(const struct symbol *left, const struct symbol *right)
{
    return strcmp(left->name, right->name) == 0 && strcmp(left->scope, right->scope) == 0;
}

const char *symbols_refuse(struct symbols *symbols)
{
    const struct symbol *first = NULL, *other = NULL; // other: whose name it was before; NULL: C's
    if (symbols->count)
        qsort(symbols->at, symbols->count, sizeof *symbols->at, by_name);
    for (size_t i = 0; i < symbols->count; i++) {
        const struct symbol *at = &symbols->at[i];
        const struct symbol *before = i > 0 && is_clash(at - 1, at) ? at - 1 : NULL;
        if ((before || names_is_word_of_c(at->name)) && (!first || at->order < first->order)) {
            first = at;
            other = before;
        }
    }
    if (!first)
        return NULL;
    if (!other)
        return place_error(symbols->arena, first->place, "%s: its C name %s is a word of C", first->owner,
                           first->name);
    return place_error(symbols->arena, first->place, "%s: its C name %s is also that of %s", first->owner,
                       first->name, other->owner);
}
