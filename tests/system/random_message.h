// SPDX-License-Identifier: Apache-2.0
// random_message.h: encodings of a message type with fields of the right numbers and wire types, and values
// that hurt.
#ifndef TESTS_RANDOM_MESSAGE_H
#define TESTS_RANDOM_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

// Uses random(). Strings and ids are sometimes taken from these, so that requests get past the first check.
struct random_words {
    const char *const *texts; // NULL at the end
    const uint64_t *ids;
    size_t id_count;
};

// Returns the size; never more than `room`.
size_t random_message(const ProtobufCMessageDescriptor *d, const struct random_words *w, uint8_t *out,
                      size_t room);

#endif
