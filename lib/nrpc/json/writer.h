// SPDX-License-Identifier: Apache-2.0
// writer.h: writes JSON text piece by piece; commas, line ends and indentation come by themselves.
#ifndef NRPC_JSON_WRITER_H
#define NRPC_JSON_WRITER_H

#include "nrpc/json/buffer.h"

struct writer {
    struct buffer text;
    bool is_pretty;
    // its own
    bool needs_comma, is_after_key;
    int depth;
};

void writer_open(struct writer *w, char bracket); // '{' or '['
void writer_close(struct writer *w, char bracket);

// Both return false, having written nothing of it, when the bytes are not UTF-8.
bool writer_key(struct writer *w, const char *name, size_t size);
bool writer_string(struct writer *w, const char *text, size_t size);

// A number, true, false, null; or, in quotes, what needs no escapes.
void writer_literal(struct writer *w, const char *text, size_t size, bool is_quoted);

#endif
