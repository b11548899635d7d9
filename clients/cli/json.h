// SPDX-License-Identifier: Apache-2.0
// json.h: writes JSON, an object a line. What is not UTF-8 in a text becomes U+FFFD.
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *f;
    bool has_member;
};

void json_begin(struct json *j, FILE *f);
void json_text(struct json *j, const char *key, const char *text);            // NULL: ""
void json_bytes(struct json *j, const char *key, const void *data, size_t n); // as text
void json_base64(struct json *j, const char *key, const void *data, size_t n);
void json_number(struct json *j, const char *key, int64_t n);
void json_unsigned(struct json *j, const char *key, uint64_t n);
void json_bool(struct json *j, const char *key, bool b);
// An array of texts: begin, an item each, end.
void json_array_begin(struct json *j, const char *key);
void json_array_item(struct json *j, const void *data, size_t n);
void json_array_end(struct json *j);
void json_end(struct json *j); // and the line

#endif
