// SPDX-License-Identifier: Apache-2.0
// together_test.c: several callers and processes on the record store of one MariaDB server.
#include "together.h"

int main(void)
{
    struct server *server = server_mariadb(NULL);
    int failed = together_run(&server, 1);
    server_destroy(server);
    return failed;
}
