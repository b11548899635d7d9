// SPDX-License-Identifier: Apache-2.0
// text.h: text that grows in an arena, and templates that are expanded into it.
#ifndef PROTOC_GEN_NRPC_TEXT_H
#define PROTOC_GEN_NRPC_TEXT_H

#include "base/mem.h"

#include <stdarg.h>
#include <stddef.h>

// All zero but for the arena is an empty text. `at` always ends in a NUL once something was added.
struct text {
    struct arena *arena;
    char *at;
    size_t length, capacity;
};

struct text_var {
    const char *name, *value; // a NULL name ends a list of them
};

void text_append(struct text *t, const char *bytes, size_t count);
void text_add(struct text *t, const char *string);

// Adds the template with every $name$ in it replaced. Lines of code that get longer than the column limit are
// broken behind a comma and go on under their innermost open bracket, the way clang-format does it. A name
// without a variable is a bug in the template and aborts.
void text_expand(struct text *t, const struct text_var *vars, const char *template);

// The template with every $name$ replaced, no line broken.
const char *text_replace(struct arena *a, const struct text_var *vars, const char *template);

// Adds a comment from a .proto file as // lines, long ones broken at the column limit; no line of it can
// reach into the next. NULL adds nothing.
void text_comment(struct text *t, const char *indent, const char *comment);

char *text_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *text_formatv(struct arena *a, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

#endif
