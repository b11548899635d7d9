// SPDX-License-Identifier: Apache-2.0
// stores.c: opens the records before the state, which takes its ids from them, and closes in reverse.
#include "stores.h"

#include "embedded/db.h"
#include "records/records_mysql.h"
#include "state/state_redis.h"

static int open_embedded(struct stores *s, const struct dtf_service_options *o, struct nrpc_status *st)
{
    int code = db_open(o->data_dir, &s->db, st);
    if (code)
        return code;
    s->records = records_sqlite_open(s->db);
    s->state = state_sqlite_open(s->db);
    return NRPC_OK;
}

// Of nodes: never given twice, also after Redis was wiped.
static int next_ids(void *user, uint64_t count, uint64_t *first, struct nrpc_status *st)
{
    struct records *r = user;
    return r->ops->next_ids(r, "node", count, first, st);
}

static int open_cluster(struct stores *s, const struct dtf_service_options *o, struct nrpc_status *st)
{
    int code = records_mysql_open(&(struct records_mysql_options){.url = o->mysql_url, .migrate = true},
                                  &s->records, st);
    if (code)
        return code;
    uint64_t installation;
    code = s->records->ops->installation(s->records, &installation, st);
    if (code)
        return code;
    code = state_redis_open(
        &(struct state_redis_options){
            .installation = installation,
            .urls = o->redis_urls,
            .url_count = o->redis_url_count,
            .shards = o->redis_shards,
            .next_ids = next_ids,
            .user = s->records,
        },
        &s->state, st);
    return code ? code : tenure_begin(&s->tenure, s->state, s->records, st);
}

int stores_open(struct stores *s, const struct dtf_service_options *o, struct nrpc_status *st)
{
    *s = (struct stores){0};
    int code = o->mysql_url ? open_cluster(s, o, st) : open_embedded(s, o, st);
    if (code)
        stores_close(s);
    return code;
}

int stores_migrate(const char *mysql_url, struct nrpc_status *st)
{
    return records_mysql_migrate(mysql_url, st);
}

void stores_close(struct stores *s)
{
    if (s->state)
        s->state->ops->close(s->state);
    if (s->records)
        s->records->ops->close(s->records);
    db_close(s->db);
    *s = (struct stores){0};
}
