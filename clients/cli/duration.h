// SPDX-License-Identifier: Apache-2.0
// duration.h: durations, numbers and points in time, as people write and read them.
#ifndef CLI_DURATION_H
#define CLI_DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// "500ms", "30s", "5m", "2h", "1d". False if the text is anything else, or more than 2^62 ms.
bool duration_parse(const char *text, int64_t *ms);

// "850 ms", "3.2 s", "4 m 12 s", "2 h 05 m", "3 d 04 h"; at most 24 bytes.
enum { DURATION_TEXT = 32 };
void duration_format(char out[DURATION_TEXT], int64_t ms);

// A point in time (ms since 1970), here: "2024-05-01 12:03:04"; "-" for 0.
void time_format(char out[DURATION_TEXT], int64_t ms);

// A whole decimal number of at most max; nothing but digits.
bool number_parse(const char *text, uint64_t max, uint64_t *out);

#endif
