// SPDX-License-Identifier: Apache-2.0
// strict_json.h: JSON objects from untrusted bytes: one meaning only, no deep nesting.
#ifndef AUTH_STRICT_JSON_H
#define AUTH_STRICT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// The object that the bytes are, to be freed with json_decref; NULL if they are anything else, have the same
// member twice in one object, or nest deeper than 8. The caller limits the size.
json_t *strict_json_object(const void *data, size_t size);

bool strict_json_is_text(const json_t *json, const char *text); // json may be NULL

#endif
