// SPDX-License-Identifier: Apache-2.0
// servers_internal.h: what the files of the private servers share.
#ifndef TESTS_SERVERS_INTERNAL_H
#define TESTS_SERVERS_INTERNAL_H

#include "servers/servers.h"

#include <stddef.h>

struct server_kind {
    const char *name;
    bool (*install)(struct server *s); // makes the data folder's content; NULL: nothing is needed
    bool (*answers)(struct server *s); // it can be used
    const char *program;
    const char *argument; // before the path of the configuration; "": none
    const char *last;     // after it
    const char *port;     // before the number of the port, in the configuration
};

struct server {
    const struct server_kind *kind;
    struct server *next;
    pid_t pid;
    uid_t uid; // to run as; 0: as the test does
    gid_t gid;
    uint16_t port;
    bool is_replica;
    unsigned disk_mib; // of its own, below `data`; 0: none
    const char
        *first;       // instead of the kind's last argument until it got ready for the first time; NULL: none
    off_t log_bytes;  // of its log when it was started
    char folder[200]; // configuration, log and socket
    char data[220];
    char config[220], log[220], socket[220];
    char user[40], password[80], database[80];
    char url[300];
    char lines[2400]; // of the configuration, without the port
};

extern char servers_root[128]; // the temporary folder

struct server *servers_create(const struct server_kind *kind); // started with servers_start_first
void servers_add_lines(struct server *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void servers_start_first(struct server *s);
void servers_mount(struct server *s); // its disk, if it is to have one, at the empty folder `data`
void servers_unmount(struct server *s);
_Noreturn void servers_fail(const struct server *s, const char *what); // ends the test program

int servers_dial(uint16_t port); // -1: nobody is there
// Reads what there is, once there is something; 0: nothing came in time, or the end.
size_t servers_read_some(int fd, char *out, size_t size, int timeout_ms);

pid_t servers_run(const struct server *s, char *const *argv);
int servers_wait_for(pid_t pid);
uint16_t servers_free_port(void);

#endif
