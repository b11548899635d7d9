// SPDX-License-Identifier: Apache-2.0
// utf8.h: whether text is what protobuf's `string` promises; protobuf-c does not look.
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool utf8_is_valid(const char *text); // well-formed UTF-8: no overlong forms, no surrogates
bool utf8_is_valid_bytes(const void *data, size_t size); // the same; a NUL is no text
void utf8_repair(char *text); // every byte that belongs to no sequence becomes a '?'

#endif
