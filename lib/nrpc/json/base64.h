// SPDX-License-Identifier: Apache-2.0
// base64.h: bytes as text (RFC 4648).
#ifndef NRPC_JSON_BASE64_H
#define NRPC_JSON_BASE64_H

#include <stdbool.h>
#include <stddef.h>

size_t base64_length(size_t size); // of the text, without a NUL
void base64_encode(const unsigned char *data, size_t size,
                   char *out); // the standard alphabet, padded; no NUL

// Takes both alphabets, with or without padding. out has room for length / 4 * 3 + 3 bytes. False: it is no
// base64.
bool base64_decode(const char *text, size_t length, unsigned char *out, size_t *size);

#endif
