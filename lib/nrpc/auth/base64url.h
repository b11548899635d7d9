// SPDX-License-Identifier: Apache-2.0
// base64url.h: base64url as JWS wants it (RFC 7515): no padding, one spelling only for any bytes.
#ifndef AUTH_BASE64URL_H
#define AUTH_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>

#define BASE64URL_SIZE(n) (((n)*4 + 2) / 3)  // characters that n bytes become
#define BASE64URL_BYTES(n) ((n) / 4 * 3 + 2) // bytes that n characters become at most

// out has room for BASE64URL_SIZE(size) characters and a NUL, which is written too; returns the characters.
size_t base64url_encode(const void *data, size_t size, char *out);

// out has room for BASE64URL_BYTES(size) bytes. False for characters of no base64url, padding, an impossible
// size, and unused bits that are not 0.
bool base64url_decode(const char *text, size_t size, unsigned char *out, size_t *out_size);

#endif
