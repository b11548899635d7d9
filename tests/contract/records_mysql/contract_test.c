// SPDX-License-Identifier: Apache-2.0
// contract_test.c: the record store on MySQL keeps the contract, on a real server.
#include "admin.h"
#include "contract/records_contract.h"

static struct server *server;

static struct records *create(void)
{
    admin_empty(server);
    return admin_open(server);
}

static struct records *reopen(struct records *records)
{
    records->ops->close(records);
    return admin_open(server);
}

static void destroy(struct records *records)
{
    records->ops->close(records);
}

int main(void)
{
    static const struct records_contract contract = {"records in MySQL", create, reopen, destroy};
    server = server_mariadb(NULL);
    int failed = records_contract_run(&contract);
    server_destroy(server);
    return failed;
}
