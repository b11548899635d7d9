// SPDX-License-Identifier: Apache-2.0
// table.c: collects cells, then prints them in columns as wide as their widest cell.
#include "table.h"

#include "base/mem.h"
#include "text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16 };

static void add(struct table *t, char *text)
{
    mem_grow(&t->cells, &t->capacity, t->count + 1, sizeof *t->cells);
    t->cells[t->count++] = text;
}

void table_init(struct table *t, const char *heading)
{
    *t = (struct table){.heading = heading};
    for (const char *at = heading; *at && t->columns < COLUMNS_MAX; t->columns++) {
        size_t n = strcspn(at, " ");
        const char *name = *at == '>' ? at + 1 : at;
        size_t length = n - (size_t)(name - at);
        char *copy = mem_calloc(1, length + 1);
        memcpy(copy, name, length);
        add(t, copy);
        at += n + strspn(at + n, " ");
    }
}

void table_cell(struct table *t, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = mem_strdup("?");
    va_end(args);
    add(t, text);
}

static void pad(FILE *f, size_t n)
{
    while (n--)
        fputc(' ', f);
}

static void print_row(const struct table *t, FILE *f, size_t row, const size_t *widths, const bool *right)
{
    for (size_t i = 0; i < t->columns; i++) {
        const char *text = t->cells[row + i];
        size_t n = strlen(text), gap = widths[i] - text_width(text, n);
        pad(f, right[i] ? gap : 0);
        text_print(f, text, n);
        if (i + 1 < t->columns)
            pad(f, (right[i] ? 0 : gap) + 2);
    }
    fputc('\n', f);
}

void table_print(const struct table *t, FILE *f)
{
    size_t widths[COLUMNS_MAX] = {0}, full = t->count - t->count % t->columns;
    bool right[COLUMNS_MAX] = {false};
    const char *at = t->heading;
    for (size_t i = 0; i < t->columns; i++, at += strcspn(at, " "), at += strspn(at, " "))
        right[i] = *at == '>';
    for (size_t i = 0; i < full; i++) {
        size_t width = text_width(t->cells[i], strlen(t->cells[i]));
        if (width > widths[i % t->columns])
            widths[i % t->columns] = width;
    }
    for (size_t row = 0; row < full; row += t->columns)
        print_row(t, f, row, widths, right);
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}
