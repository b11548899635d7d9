// SPDX-License-Identifier: Apache-2.0
// sqltext.h: a statement for MySQL that is being written.
//
// Text and bytes go in as hexadecimal literals: whatever they hold, they cannot end the literal, in any
// character set and sql_mode.
#ifndef RECORDS_SQLTEXT_H
#define RECORDS_SQLTEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct sqltext {
    char *text; // not terminated
    size_t bytes, capacity;
};

void sqltext_fini(struct sqltext *s);

// Adds SQL of our own, in which stand for values:
//   $i: int64_t    $u: uint64_t    $t: const char * (NULL: NULL)    $b: const void *, size_t (NULL: NULL)
//   $e: text, NULL is empty    $k: text, empty is NULL    $m: a message, repaired if it is not UTF-8
//   $s: more SQL of our own
// Give every number its exact type: it goes through "...".
void sqltext_add(struct sqltext *s, const char *format, ...);
void sqltext_addv(struct sqltext *s, const char *format, va_list args);

// Adds SQL in which $0..$9 stand for numbers[0..9].
void sqltext_add_numbers(struct sqltext *s, const char *sql, const uint64_t *numbers);

// Adds "(1,2,3)"; "(0)" if there is none: no id is 0.
void sqltext_add_ids(struct sqltext *s, const uint64_t *ids, size_t count);

#endif
