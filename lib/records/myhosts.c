// SPDX-License-Identifier: Apache-2.0
// myhosts.c: which of several hosts is used. The lock is there because calls come from any thread; each
// host's own thread looks at it, and then judges them all. Nothing blocks under the lock.
#include "records/myhosts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/wait.h"
#include "records/myconn.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 300,    // between two looks at a host
    SILENT_MS = 1000, // a look that takes longer says that the host is silent
    USE_MS = 2000,    // for a host to be chosen
    LESSER_MS = 3000, // a host in use that is of lesser use for longer is left for a better one
};

enum rank { RANK_NONE, RANK_LESSER, RANK_WELL };

struct verdict {
    enum rank rank;
    int code;         // of RANK_NONE
    char why[120];    // of what is not RANK_WELL
    bool is_node;     // of a Galera cluster
    char cluster[40]; // its id; "": no cluster
};

struct host {
    struct myhosts *all;
    size_t index;
    pthread_t thread;
    bool is_known;            // there is a verdict
    int64_t asked_ms;         // when the look that is under way began; 0: none is
    int64_t lesser_ms;        // since when it is of RANK_LESSER; 0: it is not
    uint64_t doubts, settled; // doubts that were raised; those which the verdict knows of
    struct verdict verdict;
};

struct myhosts {
    const struct myurl *url;
    void (*left)(void *user, uint64_t generation);
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stops;
    size_t used; // host_count: none
    uint64_t generation;
    struct host hosts[URL_HOSTS_MAX];
};

// ---- looking at one

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

static void lower(struct verdict *v, enum rank rank, int code, const char *why)
{
    if (rank >= v->rank)
        return;
    v->rank = rank;
    v->code = code;
    snprintf(v->why, sizeof v->why, "%s", why);
}

static void refuse_error(struct verdict *v, int code, unsigned number)
{
    lower(v, RANK_NONE, code, "");
    snprintf(v->why, sizeof v->why, "cannot be used: %s (%u)", myconn_means(number), number);
}

// What one of the server's variables says about it. They come in no order, so none makes good what another
// has said. A node that has given its data to another catches up before it is synced again.
static void judge_variable(struct verdict *v, const char *name, const char *value)
{
    static const struct {
        const char *name, *wrong;
        enum rank rank;
        const char *why;
    } wrongs[] = {
        {"read_only", "ON", RANK_NONE, "is read-only"},
        {"innodb_read_only", "ON", RANK_NONE, "is read-only"},
        {"wsrep_ready", "OFF", RANK_NONE, "is a node that is not ready"},
        {"wsrep_cluster_status", "non-Primary", RANK_NONE, "is a node that is cut off from its cluster"},
        {"wsrep_cluster_status", "Disconnected", RANK_NONE, "is a node that is cut off from its cluster"},
        {"wsrep_local_state", "1", RANK_NONE, "is a node that has not got its data yet"},
        {"wsrep_local_state", "2", RANK_LESSER, "is a node that gives its data to another"},
        {"wsrep_local_state", "3", RANK_LESSER, "is a node that has not caught up yet"},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
        if (!strcmp(name, wrongs[i].name) && !strcmp(value, wrongs[i].wrong))
            lower(v, wrongs[i].rank, NRPC_UNAVAILABLE, wrongs[i].why);
    v->is_node |= !strcmp(name, "wsrep_on") && !strcmp(value, "ON");
    if (!strcmp(name, "wsrep_cluster_state_uuid"))
        snprintf(v->cluster, sizeof v->cluster, "%s", value);
}

static bool ask(struct myconn *c, struct verdict *v, const char *sql)
{
    enum myfate fate;
    struct nrpc_status st;
    int code = myconn_run(c, sql, strlen(sql), &fate, &st);
    MYSQL_RES *result = code ? NULL : mysql_store_result(c->mysql);
    if (!result) {
        refuse_error(v, NRPC_UNAVAILABLE, mysql_errno(c->mysql));
        return false;
    }
    for (MYSQL_ROW row; (row = mysql_fetch_row(result));)
        if (row[0] && row[1])
            judge_variable(v, row[0], row[1]);
    mysql_free_result(result);
    return true;
}

// Over a connection that is kept. One that is found lost is made anew: the host may have been restarted.
static struct verdict look(struct myconn *c, const struct myurl *url, size_t host)
{
    static const struct mylimits limits = {1, 1};
    static const char variables[] =
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'innodb_read_only', 'wsrep_on')";
    static const char of_node[] =
        "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', "
        "'wsrep_local_state', 'wsrep_cluster_state_uuid')";
    struct verdict v = {.rank = RANK_WELL};
    struct nrpc_status st;
    for (int run = 0; run < 2; run++) {
        bool was_open = c->mysql;
        int code = was_open ? NRPC_OK : myconn_open_plain(c, url, host, &limits, &st);
        v = (struct verdict){.rank = RANK_WELL};
        if (code)
            refuse_error(&v, code, c->error);
        else if (ask(c, &v, variables) && (!v.is_node || ask(c, &v, of_node)))
            return v;
        myconn_close(c);
        if (!was_open)
            break;
    }
    return v;
}

// ---- choosing

static bool is_silent(const struct host *t)
{
    return t->asked_ms && now_ms() - t->asked_ms > SILENT_MS;
}

static enum rank rank_of(const struct host *t)
{
    return is_silent(t) || !t->is_known ? RANK_NONE : t->verdict.rank;
}

static bool is_decided(const struct host *t)
{
    return is_silent(t) || (t->is_known && t->doubts == t->settled);
}

static bool are_one_cluster(const struct host *a, const struct host *b)
{
    return *a->verdict.cluster && !strcmp(a->verdict.cluster, b->verdict.cluster);
}

// A host, other than that one, which takes writes and is not in one cluster with it; host_count: none.
static size_t find_rival(const struct myhosts *h, size_t of)
{
    size_t i = 0;
    while (i < h->url->host_count &&
           (i == of || rank_of(&h->hosts[i]) == RANK_NONE || are_one_cluster(&h->hosts[i], &h->hosts[of])))
        i++;
    return i;
}

// The first of the best; host_count: there is none, or not all are known yet, or two of them are rivals.
static size_t choose(const struct myhosts *h)
{
    const size_t none = h->url->host_count;
    size_t best = none;
    for (size_t i = 0; i < none; i++) {
        if (!is_decided(&h->hosts[i]))
            return none;
        enum rank rank = rank_of(&h->hosts[i]);
        if (rank != RANK_NONE && (best == none || rank > rank_of(&h->hosts[best])))
            best = i;
    }
    return best == none || find_rival(h, best) != none ? none : best;
}

static void use(struct myhosts *h, size_t host)
{
    if (host == h->used)
        return;
    h->used = host;
    h->generation++;
    h->left(h->user, h->generation);
}

static bool is_well_enough(const struct host *used)
{
    enum rank rank = rank_of(used);
    return rank == RANK_WELL || (rank == RANK_LESSER && now_ms() - used->lesser_ms < LESSER_MS);
}

// With the lock. While another look at the host in use is asked for, that decides.
static void judge(struct myhosts *h)
{
    const size_t none = h->url->host_count;
    const struct host *used = h->used < none ? &h->hosts[h->used] : NULL;
    bool stays = used && (!is_decided(used) || is_well_enough(used));
    if (!stays) {
        size_t best = choose(h);
        bool is_as_good =
            used && rank_of(used) != RANK_NONE && (best == none || rank_of(&h->hosts[best]) <= rank_of(used));
        if (!is_as_good)
            use(h, best);
    }
}

static void *watch(void *arg)
{
    struct host *t = arg;
    struct myhosts *h = t->all;
    struct myconn c = {0};
    pthread_setname_np(pthread_self(), "records_host");
    pthread_mutex_lock(&h->lock);
    while (!h->stops) {
        uint64_t doubts = t->doubts;
        t->asked_ms = now_ms();
        pthread_mutex_unlock(&h->lock);
        struct verdict v = look(&c, h->url, t->index);
        pthread_mutex_lock(&h->lock);
        t->lesser_ms = v.rank != RANK_LESSER ? 0 : t->lesser_ms ? t->lesser_ms : now_ms();
        t->verdict = v;
        t->is_known = true;
        t->asked_ms = 0;
        t->settled = doubts;
        judge(h);
        pthread_cond_broadcast(&h->changed);
        struct timespec until = wait_until(LOOK_MS);
        while (!h->stops && t->doubts == t->settled &&
               pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&h->lock);
    myconn_fini(&c);
    return NULL;
}

// ---- the interface

struct myhosts *myhosts_create(const struct myurl *url, void (*left)(void *user, uint64_t generation),
                               void *user)
{
    struct myhosts *h = mem_calloc(1, sizeof *h);
    *h = (struct myhosts){.url = url, .left = left, .user = user, .used = url->host_count};
    pthread_mutex_init(&h->lock, NULL);
    wait_cond_init(&h->changed);
    if (url->host_count == 1) {
        h->used = 0;
        return h;
    }
    for (size_t i = 0; i < url->host_count; i++) {
        h->hosts[i].all = h;
        h->hosts[i].index = i;
        if (pthread_create(&h->hosts[i].thread, NULL, watch, &h->hosts[i]))
            abort();
    }
    return h;
}

void myhosts_destroy(struct myhosts *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stops = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; h->url->host_count > 1 && i < h->url->host_count; i++)
        pthread_join(h->hosts[i].thread, NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static bool is_finding_out(const struct myhosts *h)
{
    const size_t none = h->url->host_count;
    if (h->used < none)
        return !is_decided(&h->hosts[h->used]);
    for (size_t i = 0; i < none; i++)
        if (!is_decided(&h->hosts[i]))
            return true;
    return false;
}

// Of no host: what each says, if all say the same; otherwise it may pass.
static int code_of_all(const struct myhosts *h)
{
    int code = rank_of(&h->hosts[0]) == RANK_NONE ? h->hosts[0].verdict.code : NRPC_OK;
    for (size_t i = 0; i < h->url->host_count; i++)
        if (is_silent(&h->hosts[i]) || h->hosts[i].verdict.code != code)
            return NRPC_UNAVAILABLE;
    return code ? code : NRPC_UNAVAILABLE;
}

static void add_text(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add_text(char *out, size_t size, const char *format, ...)
{
    size_t n = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + n, size - n, format, args);
    va_end(args);
}

static void say_host(const struct myhosts *h, size_t i, char *out, size_t size)
{
    const struct host *t = &h->hosts[i];
    size_t rival = rank_of(t) == RANK_NONE ? h->url->host_count : find_rival(h, i);
    const char *why = is_silent(t)                   ? "does not answer"
                      : !t->is_known                 ? "has not answered yet"
                      : i == h->used                 ? "is used"
                      : t->verdict.rank == RANK_WELL ? "can be used"
                                                     : t->verdict.why;
    add_text(out, size, "%s%s:%u ", *out ? "; " : "", h->url->hosts[i].name, h->url->hosts[i].port);
    if (i == h->used || rival == h->url->host_count)
        add_text(out, size, "%s", why);
    else
        add_text(out, size, "takes writes as %s:%u does, and they are not one cluster: make one read-only",
                 h->url->hosts[rival].name, h->url->hosts[rival].port);
}

static void say_all(const struct myhosts *h, char *out, size_t size)
{
    *out = 0;
    if (h->url->host_count > 1)
        for (size_t i = 0; i < h->url->host_count; i++)
            say_host(h, i, out, size);
}

void myhosts_say(struct myhosts *h, char *out, size_t size)
{
    pthread_mutex_lock(&h->lock);
    say_all(h, out, size);
    pthread_mutex_unlock(&h->lock);
}

int myhosts_use(struct myhosts *h, struct myuse *out, struct nrpc_status *st)
{
    char text[sizeof st->text - 40];
    int code = NRPC_OK;
    struct timespec until = wait_until(USE_MS);
    pthread_mutex_lock(&h->lock);
    while (h->url->host_count > 1 && is_finding_out(h) &&
           pthread_cond_timedwait(&h->changed, &h->lock, &until) == 0)
        ;
    *out = (struct myuse){h->used, h->generation};
    if (h->used == h->url->host_count) {
        say_all(h, text, sizeof text);
        code = status_set(st, code_of_all(h), "no host of the database can be used: %s", text);
    }
    pthread_mutex_unlock(&h->lock);
    return code;
}

bool myhosts_doubt(struct myhosts *h, uint64_t generation)
{
    bool has_others = h->url->host_count > 1;
    if (!has_others)
        return false;
    pthread_mutex_lock(&h->lock);
    if (generation == h->generation && h->used < h->url->host_count) {
        h->hosts[h->used].doubts++;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return true;
}
