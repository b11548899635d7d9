// SPDX-License-Identifier: Apache-2.0
// base64url.c: strict base64url.
#include "nrpc/auth/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_encode(const void *data, size_t size, char *out)
{
    const unsigned char *in = data;
    uint32_t bits = 0;
    unsigned held = 0; // bits that are not written yet
    char *at = out;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | in[i];
        for (held += 8; held >= 6; held -= 6)
            *at++ = alphabet[bits >> (held - 6) & 63];
    }
    if (held)
        *at++ = alphabet[bits << (6 - held) & 63];
    *at = 0;
    return (size_t)(at - out);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    return c == '_' ? 63 : -1;
}

bool base64url_decode(const char *text, size_t size, unsigned char *out, size_t *out_size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
        }
    }
    *out_size = n;
    return held < 6 && !(bits & ((1U << held) - 1));
}
