// SPDX-License-Identifier: Apache-2.0
// runs.c: reading the files of a folder, and sorting.
#include "chaos/runs.h"

#include "base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void read_file(struct runs *r, const char *path)
{
    FILE *f = fopen(path, "re");
    struct errand_run run;
    while (f && fread(&run, sizeof run, 1, f) == 1) {
        mem_grow(&r->list, &r->capacity, r->count + 1, sizeof *r->list);
        r->list[r->count++] = run;
    }
    if (f)
        fclose(f);
}

#define COMPARE(field)                                                                                       \
    if (x->field != y->field)                                                                                \
    return x->field < y->field ? -1 : 1

static int compare(const void *a, const void *b)
{
    const struct errand_run *x = a, *y = b;
    COMPARE(task);
    COMPARE(index);
    COMPARE(start_us);
    return 0;
}

void runs_read(struct runs *r, const char *folder)
{
    *r = (struct runs){0};
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (*e->d_name != '.')
            read_file(r, path);
    }
    if (d)
        closedir(d);
    if (r->count)
        qsort(r->list, r->count, sizeof *r->list, compare);
}

void runs_fini(struct runs *r)
{
    free(r->list);
}

const struct errand_run *runs_of(const struct runs *r, uint64_t task, size_t *count)
{
    size_t first = 0, n = 0;
    while (first < r->count && r->list[first].task < task)
        first++;
    while (first + n < r->count && r->list[first + n].task == task)
        n++;
    *count = n;
    return r->list + first;
}
