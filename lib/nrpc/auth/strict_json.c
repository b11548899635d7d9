// SPDX-License-Identifier: Apache-2.0
// strict_json.c: looks at the depth before the parser, which recurses, sees the bytes.
#include "nrpc/auth/strict_json.h"

#include <string.h>

enum { DEPTH_MAX = 8 };

// Counts brackets outside of strings. Of bytes that are no JSON it may say either; the parser refuses them.
static bool is_shallow(const char *data, size_t size)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        if (depth > DEPTH_MAX)
            return false;
    }
    return true;
}

json_t *strict_json_object(const void *data, size_t size)
{
    if (!is_shallow(data, size))
        return NULL;
    json_t *json = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

bool strict_json_is_text(const json_t *json, const char *text)
{
    return json_is_string(json) && !strcmp(json_string_value(json), text);
}
