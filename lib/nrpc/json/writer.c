// SPDX-License-Identifier: Apache-2.0
// writer.c: the structure of JSON text; jansson escapes strings.
#include "nrpc/json/writer.h"

#include <jansson.h>
#include <string.h>

static void add(struct writer *w, const char *text)
{
    buffer_add(&w->text, text, strlen(text));
}

static void break_line(struct writer *w)
{
    if (!w->is_pretty)
        return;
    add(w, "\n");
    for (int i = 0; i < w->depth; i++)
        add(w, "  ");
}

// What comes before a key or an element; nothing comes before the value that a key announces.
static void begin(struct writer *w)
{
    if (!w->is_after_key) {
        if (w->needs_comma)
            add(w, ",");
        if (w->depth > 0)
            break_line(w);
    }
    w->is_after_key = false;
    w->needs_comma = true;
}

void writer_open(struct writer *w, char bracket)
{
    begin(w);
    buffer_add(&w->text, &bracket, 1);
    w->needs_comma = false;
    w->depth++;
}

void writer_close(struct writer *w, char bracket)
{
    w->depth--;
    if (w->needs_comma)
        break_line(w);
    buffer_add(&w->text, &bracket, 1);
    w->needs_comma = true;
}

static int add_dumped(const char *data, size_t size, void *w)
{
    buffer_add(&((struct writer *)w)->text, data, size);
    return 0;
}

bool writer_string(struct writer *w, const char *text, size_t size)
{
    json_t *string = json_stringn(text ? text : "", size);
    if (!string)
        return false;
    begin(w);
    json_dump_callback(string, add_dumped, w, JSON_ENCODE_ANY);
    json_decref(string);
    return true;
}

bool writer_key(struct writer *w, const char *name, size_t size)
{
    if (!writer_string(w, name, size))
        return false;
    add(w, w->is_pretty ? ": " : ":");
    w->is_after_key = true;
    return true;
}

void writer_literal(struct writer *w, const char *text, size_t size, bool is_quoted)
{
    const char *quote = is_quoted ? "\"" : "";
    begin(w);
    add(w, quote);
    buffer_add(&w->text, text, size);
    add(w, quote);
}
