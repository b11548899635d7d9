// SPDX-License-Identifier: Apache-2.0
// pieces.h: a message's bytes taken apart, its fields brought together.
//
// On the wire a field may come in several places: elements of a list in between others, a later value instead
// of an earlier one, a message that completes an earlier one, one member of a oneof after another.
#ifndef NRPC_JSON_PIECES_H
#define NRPC_JSON_PIECES_H

#include "base/mem.h"
#include "nrpc/json/schema.h"

struct piece { // a field's value, once
    const struct schema_field *field;
    union {
        uint64_t bits; // of a number, as it is on the wire
        const uint8_t *data;
    };
    uint32_t size, order;
    bool is_packed; // data has any number of numbers
};

struct pieces {
    const struct piece *at;
    size_t count;
};

enum pieces_result { PIECES_OK, PIECES_BROKEN, PIECES_MEMORY };

// Takes the bytes of a message apart, into the arena: sorted by group, within one as they came. What the
// message does not know is left out. size: below 2^32.
enum pieces_result pieces_take(struct arena *a, const struct schema_message *m, const uint8_t *data,
                               size_t size, struct pieces *out);

// Cuts the first group off: what is left of it when later members of a oneof have replaced earlier ones, so
// that all are of one field.
struct pieces pieces_next(struct pieces *rest);

// The pieces of one field.
struct pieces pieces_of(const struct pieces *all, const struct schema_field *field);

#endif
