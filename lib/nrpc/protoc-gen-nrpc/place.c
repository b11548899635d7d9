// SPDX-License-Identifier: Apache-2.0
// place.c: looks paths up in the SourceCodeInfo of their file.
#include "place.h"
#include "text.h"

#include <stdarg.h>
#include <string.h>

typedef Google__Protobuf__SourceCodeInfo__Location location;

struct place place_in(struct arena *a, struct place outer, int32_t number, size_t index)
{
    int32_t *path = arena_alloc(a, (outer.length + 2) * sizeof *path);
    if (outer.length)
        memcpy(path, outer.path, outer.length * sizeof *path);
    path[outer.length] = number;
    path[outer.length + 1] = (int32_t)index;
    return (struct place){outer.file, path, outer.length + 2};
}

static const location *find_location(struct place place)
{
    const Google__Protobuf__SourceCodeInfo *info = place.file->source_code_info;
    for (size_t i = 0; info && place.length && i < info->n_location; i++) {
        const location *l = info->location[i];
        if (l->n_path == place.length && memcmp(l->path, place.path, place.length * sizeof *l->path) == 0)
            return l;
    }
    return NULL;
}

const char *place_comment(struct place place)
{
    const location *l = find_location(place);
    return l ? l->leading_comments : NULL;
}

const char *place_error(struct arena *a, struct place place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *sentence = text_formatv(a, format, args);
    va_end(args);
    const location *l = find_location(place);
    if (!l || l->n_span < 3)
        return text_format(a, "%s: %s", place.file->name, sentence);
    return text_format(a, "%s:%d:%d: %s", place.file->name, l->span[0] + 1, l->span[1] + 1, sentence);
}
