// SPDX-License-Identifier: Apache-2.0
// json.c: the JSON writer.
#include "json.h"

#include "text.h"

#include <inttypes.h>
#include <string.h>

static void escape(FILE *f, const char *s, size_t bytes, uint32_t c)
{
    if (c == TEXT_INVALID)
        fputs("\xef\xbf\xbd", f);
    else if (c == '"' || c == '\\')
        fprintf(f, "\\%c", (int)c);
    else if (c == '\n')
        fputs("\\n", f);
    else if (c == '\t')
        fputs("\\t", f);
    else if (!text_is_plain(c) && c < 0x10000) // shown on a terminal, JSON must not steer it either
        fprintf(f, "\\u%04x", c);
    else
        fwrite(s, 1, bytes, f);
}

static void string(FILE *f, const char *s, size_t n)
{
    uint32_t c;
    fputc('"', f);
    for (size_t bytes; n; s += bytes, n -= bytes) {
        bytes = text_decode(s, n, &c);
        escape(f, s, bytes, c);
    }
    fputc('"', f);
}

static void next(struct json *j)
{
    if (j->has_member)
        fputc(',', j->f);
    j->has_member = true;
}

static void name(struct json *j, const char *key)
{
    next(j);
    fprintf(j->f, "\"%s\":", key);
}

void json_begin(struct json *j, FILE *f)
{
    *j = (struct json){.f = f};
    fputc('{', f);
}

void json_text(struct json *j, const char *key, const char *text)
{
    json_bytes(j, key, text, text ? strlen(text) : 0);
}

void json_bytes(struct json *j, const char *key, const void *data, size_t n)
{
    name(j, key);
    string(j->f, data, n);
}

void json_base64(struct json *j, const char *key, const void *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = data;
    name(j, key);
    fputc('"', j->f);
    for (size_t i = 0; i < n; i += 3) {
        size_t here = n - i < 3 ? n - i : 3;
        uint32_t bits = (uint32_t)s[i] << 16;
        if (here > 1)
            bits |= (uint32_t)s[i + 1] << 8;
        if (here > 2)
            bits |= s[i + 2];
        fputc(digits[bits >> 18], j->f);
        fputc(digits[bits >> 12 & 63], j->f);
        fputc(here > 1 ? digits[bits >> 6 & 63] : '=', j->f);
        fputc(here > 2 ? digits[bits & 63] : '=', j->f);
    }
    fputc('"', j->f);
}

void json_number(struct json *j, const char *key, int64_t n)
{
    name(j, key);
    fprintf(j->f, "%" PRId64, n);
}

void json_unsigned(struct json *j, const char *key, uint64_t n)
{
    name(j, key);
    fprintf(j->f, "%" PRIu64, n);
}

void json_bool(struct json *j, const char *key, bool b)
{
    name(j, key);
    fputs(b ? "true" : "false", j->f);
}

void json_array_begin(struct json *j, const char *key)
{
    name(j, key);
    fputc('[', j->f);
    j->has_member = false;
}

void json_array_item(struct json *j, const void *data, size_t n)
{
    next(j);
    string(j->f, data, n);
}

void json_array_end(struct json *j)
{
    fputc(']', j->f);
    j->has_member = true;
}

void json_end(struct json *j)
{
    fputs("}\n", j->f);
}
