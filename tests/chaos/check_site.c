// SPDX-License-Identifier: Apache-2.0
// check_site.c: what must hold of a site as a whole: its tasks, the database, Redis, the logs.
#include "chaos/check.h"

#include "base/clock.h"
#include "chaos/look.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { EMPTY_MS = 20000 };

static void note_point(void *user, const uint64_t *columns)
{
    struct check_points *p = user;
    if (p->count == JOBS_MAX)
        return;
    p->points[p->count].task = columns[0];
    p->points[p->count++].made = columns[1];
}

void check_note_points(struct check *c, size_t fault)
{
    (void)look(c->site->mariadb, "SELECT task, made FROM tbl_resume_point", note_point, &c->before[fault]);
}

// ---- history

struct reading {
    struct check *check;
    struct check_history history;
};

static void take_event(void *user, const uint64_t *columns)
{
    struct reading *r = user;
    check_event(r->check, &r->history, columns[0], columns[1], (int)columns[2]);
}

static void take_count(void *user, const uint64_t *columns)
{
    *(uint64_t *)user = columns[0];
}

static void check_history(struct check *c)
{
    struct reading r = {.check = c};
    uint64_t tasks = 0, rest = 0;
    if (!look(c->site->mariadb, "SELECT sequence, task, task_status FROM tbl_task_event ORDER BY sequence",
              take_event, &r) ||
        !look(c->site->mariadb, "SELECT COUNT(*) FROM tbl_task", take_count, &tasks) ||
        !look(c->site->mariadb,
              "SELECT (SELECT COUNT(*) FROM tbl_resume_point) + (SELECT COUNT(*) FROM tbl_fed)", take_count,
              &rest))
        check_say(c, "the database does not answer");
    check_last_events(c, &r.history);
    if (tasks != c->work->count)
        check_say(c, "%zu tasks were created, %llu are recorded", c->work->count, (unsigned long long)tasks);
    if (rest)
        check_say(c, "%llu resume points and fed subtasks of ended tasks", (unsigned long long)rest);
}

// ---- Redis

// Results that were read are there again if Redis went back: nobody reads them, and they stay until they
// expire.
static bool may_be_left(const struct check *c, const char *keys)
{
    bool back = false, gone = false, only_results = true;
    char copy[8000], *rest = copy;
    snprintf(copy, sizeof copy, "%s", keys);
    for (size_t i = 0; i < c->faults->count; i++)
        back |= fault_brings_back(&c->faults->list[i]);
    for (const char *key; (key = strtok_r(rest, " ", &rest));) {
        gone |= !strcmp(key, "gone");
        only_results &= !strcmp(key, "gone") || !strcmp(key, "gone_read") || !strncmp(key, "r:", 2);
    }
    return back && gone && only_results;
}

// The end of a task is recorded first, then Redis forgets it.
static void check_empty(struct check *c)
{
    int64_t until_us = clock_mono_us() + EMPTY_MS * 1000ll;
    for (unsigned k = 0; k < c->site->options.shards; k++) {
        char keys[8000];
        for (;;) {
            site_leftovers(c->site->redis[k], keys, sizeof keys);
            if (!*keys || may_be_left(c, keys) || clock_mono_us() > until_us)
                break;
            (void)poll(NULL, 0, 10);
        }
        if (*keys && !may_be_left(c, keys))
            check_say(c, "left in Redis %u: %.300s", k, keys);
    }
}

// ---- what made progress

// A role's periodic look is for outages: what it finds otherwise was held up until then.
static void check_finds(struct check *c)
{
    char line[1200];
    for (unsigned i = 0; i < c->site->options.coordinators; i++) {
        FILE *log = fopen(c->site->coordinators[i].log, "re");
        while (log && fgets(line, sizeof line, log))
            if (strstr(line, "a periodic look found"))
                check_say(c, "coordinator %u: %.200s", i, line);
        if (log)
            fclose(log);
    }
}

// ---- all of it

void check_all(struct check *c)
{
    struct dtf_client *client;
    struct nrpc_status st;
    char url[60];
    site_url(c->site, 0, false, url, sizeof url);
    if (dtf_client_open(url, &client, &st)) {
        check_say(c, "%s: %s", url, st.text);
        return;
    }
    check_jobs(c, client, c->site->runs);
    check_history(c);
    check_empty(c);
    check_finds(c);
    dtf_client_close(client);
}
