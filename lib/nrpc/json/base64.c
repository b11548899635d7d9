// SPDX-License-Identifier: Apache-2.0
// base64.c: three bytes are four letters.
#include "nrpc/json/base64.h"

#include <stdint.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_length(size_t size)
{
    return (size + 2) / 3 * 4;
}

void base64_encode(const unsigned char *data, size_t size, char *out)
{
    for (size_t i = 0; i < size; i += 3) {
        size_t here = size - i < 3 ? size - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < here ? data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            *out++ = (char)(k <= here ? letters[v >> (18 - 6 * k) & 63] : '=');
    }
}

// -1: not a letter.
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

bool base64_decode(const char *text, size_t length, unsigned char *out, size_t *size)
{
    if (length % 4 == 0)
        for (int i = 0; i < 2 && length > 0 && text[length - 1] == '='; i++)
            length--;
    if (length % 4 == 1)
        return false;
    uint32_t v = 0;
    *size = 0;
    for (size_t i = 0; i < length; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        v = v << 6 | (uint32_t)value;
        if (i % 4 != 0) // its bits complete a byte
            out[(*size)++] = (unsigned char)(v >> (6 - 2 * (i % 4)));
    }
    return true;
}
