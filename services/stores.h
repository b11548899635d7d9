// SPDX-License-Identifier: Apache-2.0
// stores.h: the pair of stores that a service runs on: embedded in this process, or Redis and MySQL.
#ifndef SERVICES_STORES_H
#define SERVICES_STORES_H

#include "dtf.h"
#include "records/records.h"
#include "state/state.h"
#include "tenure.h"

struct db;

struct stores {
    struct db *db; // NULL: cluster
    struct state *state;
    struct records *records;
    struct tenure tenure; // whoever calls tenure_keep's
};

// Opens what the options name. UNAVAILABLE: a server cannot be reached, which may pass. On failure nothing is
// open.
int stores_open(struct stores *s, const struct dtf_service_options *o, struct nrpc_status *st);
// Brings the tables in MySQL up to date, as opening does too.
int stores_migrate(const char *mysql_url, struct nrpc_status *st);
void stores_close(struct stores *s); // all zero is fine

#endif
