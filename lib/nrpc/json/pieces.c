// SPDX-License-Identifier: Apache-2.0
// pieces.c: counts, takes and sorts.
#include "nrpc/json/pieces.h"

#include "nrpc/json/scalar.h"

#include <stdlib.h>

// The field that a value on the wire belongs to; NULL when it must be left out: unknown, or of another type.
static const struct schema_field *field_of(const struct schema_message *m, const struct pbwire_field *w)
{
    const struct schema_field *f = schema_field(m, w->number);
    if (!f)
        return NULL;
    enum pbwire_type wire = scalar_wire(f->type);
    bool is_number = wire != PBWIRE_BYTES && wire != PBWIRE_GROUP;
    return w->type == wire || (w->type == PBWIRE_BYTES && f->is_repeated && is_number) ? f : NULL;
}

static int compare(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->field->group != y->field->group)
        return x->field->group < y->field->group ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static size_t count_known(const struct schema_message *m, struct pbwire_reader *r)
{
    size_t count = 0;
    struct pbwire_field w;
    while (pbwire_next(r, &w))
        count += field_of(m, &w) != NULL;
    return count;
}

enum pieces_result pieces_take(struct arena *a, const struct schema_message *m, const uint8_t *data,
                               size_t size, struct pieces *out)
{
    struct pbwire_reader counting = pbwire_reader(data, size), r = counting;
    size_t count = count_known(m, &counting);
    if (counting.at != counting.end)
        return PIECES_BROKEN;
    struct piece *at = arena_alloc(a, count * sizeof *at);
    *out = (struct pieces){at, 0};
    if (!at)
        return PIECES_MEMORY;
    bool is_sorted = true;
    struct pbwire_field w;
    while (pbwire_next(&r, &w)) {
        const struct schema_field *f = field_of(m, &w);
        if (!f)
            continue;
        struct piece *p = &at[out->count];
        *p = (struct piece){.field = f, .size = (uint32_t)w.size, .order = (uint32_t)out->count++};
        p->is_packed = w.type == PBWIRE_BYTES && scalar_wire(f->type) != PBWIRE_BYTES;
        if (w.type == PBWIRE_BYTES)
            p->data = w.data;
        else
            p->bits = w.bits;
        is_sorted = is_sorted && (p == at || p[-1].field->group <= f->group);
    }
    if (!is_sorted)
        qsort(at, out->count, sizeof *at, compare);
    return PIECES_OK;
}

struct pieces pieces_next(struct pieces *rest)
{
    const struct piece *all = rest->at;
    size_t end = 0;
    while (end < rest->count && all[end].field->group == all->field->group)
        end++;
    size_t begin = end;
    while (begin > 0 && all[begin - 1].field == all[end - 1].field)
        begin--;
    *rest = (struct pieces){all + end, rest->count - end};
    return (struct pieces){all + begin, end - begin};
}

struct pieces pieces_of(const struct pieces *all, const struct schema_field *field)
{
    struct pieces rest = *all;
    while (rest.count > 0) {
        struct pieces group = pieces_next(&rest);
        if (group.at->field == field)
            return group;
    }
    return (struct pieces){0};
}
