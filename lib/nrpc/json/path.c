// SPDX-License-Identifier: Apache-2.0
// path.c: writes a path from its end to its beginning, as far as there is room.
#include "nrpc/json/path.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 120, STEP_MAX = 64, KEY_SHOWN_MAX = 40 };

void path_enter(const struct path **at, struct path *step)
{
    step->up = *at;
    *at = step;
}

void path_leave(const struct path **at)
{
    *at = (*at)->up;
}

static void show_step(const struct path *p, char *out)
{
    int key_size = (int)(p->key_size < KEY_SHOWN_MAX ? p->key_size : KEY_SHOWN_MAX);
    if (p->name)
        snprintf(out, STEP_MAX, "%s%s", p->up ? "." : "", p->name);
    else if (p->key)
        snprintf(out, STEP_MAX, "[\"%.*s\"]", key_size, p->key);
    else
        snprintf(out, STEP_MAX, "[%zu]", p->index);
}

static void show(const struct path *p, char *out)
{
    char all[SHOWN_MAX], step[STEP_MAX];
    char *at = all + sizeof all - 1;
    *at = 0;
    for (; p; p = p->up) {
        show_step(p, step);
        size_t size = strlen(step);
        if (size + strlen("...") > (size_t)(at - all)) {
            at = memcpy(at - strlen("..."), "...", strlen("..."));
            break;
        }
        at = memcpy(at - size, step, size);
    }
    memcpy(out, at, strlen(at) + 1);
}

int path_fail(const struct path *at, struct nrpc_status *st, int code, const char *format, ...)
{
    char where[SHOWN_MAX], what[sizeof st->text];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    show(at, where);
    for (char *c = what; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
    for (char *c = where; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = '?';
    return status_set(st, code, "%s%s%s", where, *where ? ": " : "", what);
}
