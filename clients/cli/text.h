// SPDX-License-Identifier: Apache-2.0
// text.h: shows bytes that somebody else chose, without letting them steer the terminal.
//
// Not shown as they are: control characters (C0, DEL, C1), line separators, marks that change the direction
// of writing, and what is not UTF-8.
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_INVALID UINT32_MAX

// Decodes the character at s (n > 0 bytes follow). Returns the bytes it takes, 1 with TEXT_INVALID if they
// are no UTF-8.
size_t text_decode(const char *s, size_t n, uint32_t *code_point);
bool text_is_plain(uint32_t code_point);

// Writes text; what is not plain as '?'.
void text_print(FILE *f, const char *s, size_t n);
size_t text_width(const char *s, size_t n); // characters that text_print writes

// Writes text as a shell (bash, zsh, ksh) would read it back: 'x y', or $'x\ny' if it is not all plain. Of
// more than max bytes only the beginning, and "…".
void text_quote(FILE *f, const char *s, size_t n, size_t max);

// Copies text into a field of `size` bytes as valid UTF-8; cuts between characters; what is not plain becomes
// '?'.
void text_clean(char *out, size_t size, const char *s);

#endif
