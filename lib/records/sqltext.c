// SPDX-License-Identifier: Apache-2.0
// sqltext.c: a statement for MySQL that is being written.
#include "records/sqltext.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_bytes(struct sqltext *s, const char *text, size_t bytes)
{
    mem_grow(&s->text, &s->capacity, s->bytes + bytes, 1);
    if (bytes)
        memcpy(s->text + s->bytes, text, bytes);
    s->bytes += bytes;
}

static void add_u64(struct sqltext *s, uint64_t n)
{
    char text[24];
    int bytes = snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    add_bytes(s, text, (size_t)bytes);
}

static void add_i64(struct sqltext *s, int64_t n)
{
    char text[24];
    int bytes = snprintf(text, sizeof text, "%lld", (long long)n);
    add_bytes(s, text, (size_t)bytes);
}

static void add_literal(struct sqltext *s, const void *data, size_t bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    if (!data) {
        add_bytes(s, "NULL", 4);
        return;
    }
    mem_grow(&s->text, &s->capacity, s->bytes + 2 * bytes + 3, 1);
    char *at = s->text + s->bytes;
    *at++ = 'X';
    *at++ = '\'';
    for (const unsigned char *p = data, *end = p + bytes; p < end; p++) {
        *at++ = digits[*p >> 4];
        *at++ = digits[*p & 15];
    }
    *at++ = '\'';
    s->bytes = (size_t)(at - s->text);
}

static void add_text(struct sqltext *s, const char *text)
{
    add_literal(s, text, text ? strlen(text) : 0);
}

static void add_message(struct sqltext *s, const char *message)
{
    if (!message || utf8_is_valid(message)) {
        add_text(s, message);
        return;
    }
    char *copy = mem_strdup(message);
    utf8_repair(copy);
    add_text(s, copy);
    free(copy);
}

static void add_value(struct sqltext *s, char kind, va_list *args)
{
    const void *data;
    const char *text;
    switch (kind) {
    case 'i':
        add_i64(s, va_arg(*args, int64_t));
        break;
    case 'u':
        add_u64(s, va_arg(*args, uint64_t));
        break;
    case 't':
        add_text(s, va_arg(*args, const char *));
        break;
    case 'e':
        text = va_arg(*args, const char *);
        add_text(s, text ? text : "");
        break;
    case 'k':
        text = va_arg(*args, const char *);
        add_text(s, text && *text ? text : NULL);
        break;
    case 'm':
        add_message(s, va_arg(*args, const char *));
        break;
    case 'b':
        data = va_arg(*args, const void *);
        add_literal(s, data, va_arg(*args, size_t));
        break;
    case 's':
        text = va_arg(*args, const char *);
        add_bytes(s, text, strlen(text));
        break;
    default:
        abort();
    }
}

void sqltext_addv(struct sqltext *s, const char *format, va_list args)
{
    va_list rest;
    va_copy(rest, args);
    while (*format) {
        size_t plain = strcspn(format, "$");
        add_bytes(s, format, plain);
        format += plain;
        if (*format) {
            add_value(s, format[1], &rest);
            format += 2;
        }
    }
    va_end(rest);
}

void sqltext_add(struct sqltext *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqltext_addv(s, format, args);
    va_end(args);
}

void sqltext_add_numbers(struct sqltext *s, const char *sql, const uint64_t *numbers)
{
    while (*sql) {
        size_t plain = strcspn(sql, "$");
        add_bytes(s, sql, plain);
        sql += plain;
        if (*sql) {
            add_u64(s, numbers[sql[1] - '0']);
            sql += 2;
        }
    }
}

void sqltext_add_ids(struct sqltext *s, const uint64_t *ids, size_t count)
{
    add_bytes(s, "(", 1);
    for (size_t i = 0; i < count; i++) {
        if (i)
            add_bytes(s, ",", 1);
        add_u64(s, ids[i]);
    }
    if (!count)
        add_bytes(s, "0", 1);
    add_bytes(s, ")", 1);
}

void sqltext_fini(struct sqltext *s)
{
    free(s->text);
    *s = (struct sqltext){0};
}
