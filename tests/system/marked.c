// SPDX-License-Identifier: Apache-2.0
// marked.c: looks through /proc.
#include "system/marked.h"

#include "base/ids.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENVIRON_BYTES = 65536 };

void mark_make(char mark[MARK_BYTES])
{
    snprintf(mark, MARK_BYTES, "%d-%016" PRIx64, (int)getpid(), ids_random());
}

static size_t read_file(pid_t pid, const char *name, char *out, size_t size)
{
    char path[60];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;
    if (f)
        fclose(f);
    out[n] = 0;
    return n;
}

static bool has_mark(pid_t pid, const char *mark)
{
    static char environment[ENVIRON_BYTES];
    char wanted[MARK_BYTES + sizeof MARK_NAME + 1];
    int size = snprintf(wanted, sizeof wanted, "%s=%s", MARK_NAME, mark);
    size_t n = read_file(pid, "environ", environment, sizeof environment);
    return memmem(environment, n, wanted, (size_t)size + 1) != NULL; // with the zero byte
}

// What /proc/PID/stat says: its name, state and parent. false: it is not there any more.
static bool look_at(pid_t pid, char name[64], char *state, pid_t *parent)
{
    char text[500];
    int parent_pid = 0;
    read_file(pid, "stat", text, sizeof text);
    const char *from = strchr(text, '('), *to = strrchr(text, ')');
    if (!from || !to || sscanf(to + 1, " %c %d", state, &parent_pid) != 2)
        return false;
    snprintf(name, 64, "%.*s", (int)(to - from - 1), from + 1);
    *parent = parent_pid;
    return true;
}

static bool is_below(pid_t pid, pid_t ancestor)
{
    char name[64], state;
    while (pid > 1 && look_at(pid, name, &state, &pid))
        if (pid == ancestor)
            return true;
    return false;
}

static pid_t next_process(DIR *proc)
{
    for (const struct dirent *e; (e = readdir(proc));) {
        long pid = strtol(e->d_name, NULL, 10);
        if (pid > 0)
            return (pid_t)pid;
    }
    return 0;
}

static size_t count(const char *mark, bool stopped_only)
{
    size_t n = 0;
    DIR *proc = opendir("/proc");
    for (pid_t pid, parent; proc && (pid = next_process(proc));) {
        char name[64], state;
        if (has_mark(pid, mark) && look_at(pid, name, &state, &parent))
            n += stopped_only ? state == 'T' : state != 'Z';
    }
    if (proc)
        closedir(proc);
    return n;
}

size_t marked_count(const char *mark)
{
    return count(mark, false);
}

size_t marked_stopped(const char *mark)
{
    return count(mark, true);
}

size_t marked_below(pid_t ancestor, const char *name, pid_t *out, size_t max)
{
    size_t n = 0;
    DIR *proc = opendir("/proc");
    for (pid_t pid, parent; proc && (pid = next_process(proc));) {
        char is[64], state;
        if (!look_at(pid, is, &state, &parent) || strcmp(is, name) != 0 || !is_below(pid, ancestor))
            continue;
        if (n < max)
            out[n] = pid;
        n++;
    }
    if (proc)
        closedir(proc);
    return n;
}
