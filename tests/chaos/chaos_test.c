// SPDX-License-Identifier: Apache-2.0
// chaos_test.c: rounds of tasks of every kind on a whole cluster, in which processes are killed and stopped,
// Redis is wiped, connections are cut, held back and slowed down. Afterwards every guarantee must have been
// kept.
//
// DTF_SEED is the seed of the first round, DTF_ROUNDS their number. A round that fails says what was done to
// it and keeps its folder.
#include "chaos/check.h"
#include "chaos/faults.h"
#include "chaos/site.h"
#include "chaos/work.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// LATE_MS: all is healed and something still waits; what nobody woke ends with its long poll, after 30 s.
enum { ROUNDS = 8, FAULTS_MS = 2500, PATIENCE_MS = 75000, LATE_MS = 20000 };

static struct server *mariadb;
static time_t *ahead_s;
static char environment[600];

static int setup(void **state)
{
    (void)state;
    mariadb = server_mariadb(NULL);
    return !site_clock(&ahead_s, environment, sizeof environment);
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(mariadb);
    unlink(strrchr(environment, '=') + 1);
    return 0;
}

static void note_points(void *user, size_t fault)
{
    check_note_points(user, fault);
}

static void tell(const struct check *c, unsigned seed, int64_t work_ms, int64_t after_ms)
{
    char faults[600];
    faults_print(c->faults, faults, sizeof faults);
    print_message(
        "seed %u: %u shards, %u nodes; %llu subtasks ran %llu times in %.1f s, %.1f s after the last "
        "fault (\"%s\"); %s\n",
        seed, c->site->options.shards, c->site->options.nodes, (unsigned long long)c->subtasks,
        (unsigned long long)c->runs, (double)work_ms / 1000, (double)after_ms / 1000,
        work_last_to_end(c->work), faults);
    if (*c->trouble)
        print_message("%s(the logs are in %s)\n", c->trouble, c->site->folder);
}

static bool run_round(unsigned seed)
{
    static struct site site;
    static struct work work;
    static struct faults faults;
    static struct check check;
    srandom(seed);
    struct site_options options = {.coordinators = SITE_COORDINATORS};
    options.shards = 1 + (unsigned)random() % SITE_SHARDS;
    options.nodes = SITE_NODES - (unsigned)random() % 2;
    unsigned clocks = (unsigned)random() % 3; // whose may be set: nobody's, a coordinator's, Redis'
    options.environment = environment;
    options.environment_coordinators = clocks == 1;
    options.environment_redis = clocks == 2;
    *ahead_s = 0;
    faults_plan(&faults, &options, FAULTS_MS);
    check = (struct check){.site = &site, .faults = &faults, .work = &work};
    if (!site_start(&site, &options, mariadb)) {
        print_message("seed %u: the cluster does not start (%s)\n", seed, site.folder);
        site_stop(&site, true);
        return false;
    }
    site.ahead_s = clocks ? ahead_s : NULL;
    int64_t start_us = clock_mono_us();
    work_start(&work,
               &(struct work_plan){chaos_kinds, chaos_kind_count, site.client_urls, seed, PATIENCE_MS});
    faults_do(&faults, &site, note_points, &check);
    int64_t healed_us = clock_mono_us();
    work_join(&work);
    int64_t end_us = clock_mono_us();
    check_all(&check);
    if (end_us - healed_us > LATE_MS * 1000ll)
        check_say(&check, "it took long to come to its end");
    tell(&check, seed, (end_us - start_us) / 1000, (end_us - healed_us) / 1000);
    work_fini(&work);
    site_stop(&site, *check.trouble);
    return !*check.trouble;
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void keeps_every_guarantee(void **state)
{
    (void)state;
    unsigned rounds = number("DTF_ROUNDS", ROUNDS), failed = 0;
    unsigned first = number("DTF_SEED", (unsigned)(clock_now_ms() % 1000000));
    for (unsigned i = 0; i < rounds; i++)
        failed += !run_round(first + i);
    if (failed)
        fail_msg("%u of %u rounds failed", failed, rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_every_guarantee)};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    return cmocka_run_group_tests(tests, setup, teardown);
}
