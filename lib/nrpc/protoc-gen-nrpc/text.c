// SPDX-License-Identifier: Apache-2.0
// text.c: growing text, template expansion, line breaking, comments.
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN_LIMIT = 110, CONTINUATION = 4, BRACKETS_MAX = 16 };

void text_append(struct text *t, const char *bytes, size_t count)
{
    if (t->capacity - t->length <= count) {
        size_t capacity = 2 * (t->length + count) + 256;
        char *grown = arena_alloc(t->arena, capacity);
        if (t->length)
            memcpy(grown, t->at, t->length);
        t->at = grown;
        t->capacity = capacity;
    }
    memcpy(t->at + t->length, bytes, count);
    t->length += count;
    t->at[t->length] = '\0';
}

void text_add(struct text *t, const char *string)
{
    text_append(t, string, strlen(string));
}

static const char *find_var(const struct text_var *vars, const char *name, size_t length)
{
    for (const struct text_var *v = vars; v->name; v++)
        if (strlen(v->name) == length && memcmp(v->name, name, length) == 0)
            return v->value;
    fprintf(stderr, "protoc-gen-nrpc: a template names the unknown variable $%.*s$\n", (int)length, name);
    abort();
}

static void substitute(struct text *t, const struct text_var *vars, const char *template)
{
    const char *open;
    while ((open = strchr(template, '$'))) {
        const char *close = strchr(open + 1, '$');
        text_append(t, template, (size_t)(open - template));
        text_add(t, find_var(vars, open + 1, (size_t)(close - open - 1)));
        template = close + 1;
    }
    text_add(t, template);
}

static bool is_one_of(const char *set, char c)
{
    return strchr(set, c) != NULL;
}

// How far the line reaches before it could be broken next: to its next ", " or its end.
static size_t piece_length(const char *line, size_t length)
{
    for (size_t i = 1; i < length; i++)
        if (line[i] == ' ' && line[i - 1] == ',')
            return i;
    return length;
}

// Whether one of several arguments would reach over the limit if they stood below their bracket, at column.
static bool is_too_wide(const char *arguments, size_t length, size_t column)
{
    bool is_list = false, is_wide = false;
    size_t depth = 1;
    for (size_t at = 0, i = 0; i < length && depth > 0; i++) {
        depth += is_one_of("({", arguments[i]);
        depth -= is_one_of(")}", arguments[i]);
        if (i == at)
            is_wide |= column + piece_length(arguments + at, length - at) > COLUMN_LIMIT;
        if (depth > 0 && arguments[i] == ',') {
            is_list = true;
            at = i + 2;
        }
    }
    return is_list && is_wide;
}

static size_t break_line(struct text *t, size_t column)
{
    text_add(t, text_format(t->arena, "\n%*s", (int)column, ""));
    return column;
}

// How much of an initialization that is too long, and has no comma to be broken at, stays in front: up to its
// "= ".
static size_t assignment_length(const char *line, size_t length)
{
    const char *assignment = length > COLUMN_LIMIT ? strstr(line, " = ") : NULL;
    if (!assignment || assignment >= line + length || piece_length(line, length) < length)
        return 0;
    return (size_t)(assignment - line) + 2;
}

// The line has no newline at its end.
static void append_line(struct text *t, const char *line, size_t length)
{
    size_t columns[BRACKETS_MAX], depth = 0, column = 0; // columns: what stands under each open bracket
    size_t assignment = assignment_length(line, length);
    for (size_t i = 0; i < length; i++) {
        if (assignment && i == assignment) {
            column = break_line(t, strspn(line, " ") + CONTINUATION);
            continue;
        }
        size_t rest = length - i;
        bool may_break = depth > 0 && line[i] == ' ' && line[i - 1] == ',';
        if (may_break && column + piece_length(line + i, rest) > COLUMN_LIMIT) {
            column = break_line(t, columns[depth - 1]);
            continue;
        }
        text_append(t, &line[i], 1);
        column++;
        if (line[i] == '(' && depth == 0 && is_too_wide(line + i + 1, rest - 1, column))
            column = break_line(t, strspn(line, " ") + CONTINUATION);
        if (is_one_of("({", line[i]) && depth < BRACKETS_MAX)
            columns[depth++] = column;
        else if (is_one_of(")}", line[i]) && depth > 0)
            depth--;
    }
}

void text_expand(struct text *t, const struct text_var *vars, const char *template)
{
    struct text whole = {.arena = t->arena};
    substitute(&whole, vars, template);
    const char *line = whole.at, *end;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        append_line(t, line, (size_t)(end - line));
        text_add(t, "\n");
    }
    append_line(t, line, strlen(line));
}

const char *text_replace(struct arena *a, const struct text_var *vars, const char *template)
{
    struct text whole = {.arena = a};
    substitute(&whole, vars, template);
    return whole.at;
}

// Without what could glue the next line to a // comment: a backslash (or its trigraph) at the end.
static size_t trimmed_length(const char *line, size_t length)
{
    for (;;) {
        if (length > 0 && strchr(" \t\r\\", line[length - 1]))
            length--;
        else if (length > 2 && memcmp(line + length - 3, "?\?/", 3) == 0)
            length -= 3;
        else
            return length;
    }
}

// How much of a comment's line fits into `width` columns: to its last gap there; to its first if none is.
static size_t fitting_length(const char *line, size_t length, size_t width)
{
    if (length <= width)
        return length;
    size_t fitting = 0;
    for (size_t i = 1; i < length && (i <= width || fitting == 0); i++)
        if (line[i] == ' ' && line[i - 1] != ' ')
            fitting = i;
    return fitting ? fitting : length;
}

static void append_comment_line(struct text *t, const char *indent, const char *line, size_t length)
{
    const char *gap = *line == ' ' ? "" : " ";
    while (length > 0) {
        size_t width = COLUMN_LIMIT - strlen(indent) - strlen("//") - strlen(gap);
        size_t fits = fitting_length(line, length, width);
        text_add(t, text_format(t->arena, "%s//%s%.*s\n", indent, gap, (int)fits, line));
        for (gap = " "; fits < length && line[fits] == ' ';)
            fits++;
        line += fits;
        length -= fits;
    }
}

void text_comment(struct text *t, const char *indent, const char *comment)
{
    size_t blank_lines = 0;
    bool begun = false;
    for (const char *line = comment; line && *line; line += *line == '\n') {
        size_t raw = strcspn(line, "\n"), length = trimmed_length(line, raw);
        if (length == 0) {
            blank_lines++;
        } else {
            for (; begun && blank_lines > 0; blank_lines--)
                text_add(t, text_format(t->arena, "%s//\n", indent));
            blank_lines = 0;
            begun = true;
            append_comment_line(t, indent, line, length);
        }
        line += raw;
    }
}

char *text_formatv(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *out = arena_alloc(a, (size_t)length + 1);
    vsnprintf(out, (size_t)length + 1, format, again);
    va_end(again);
    return out;
}

char *text_format(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *out = text_formatv(a, format, args);
    va_end(args);
    return out;
}
