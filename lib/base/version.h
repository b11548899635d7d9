// SPDX-License-Identifier: Apache-2.0
// version.h: which program this is, and the versions of what it says to others. docs/OPERATIONS.md has the
// rule: which of them may run together.
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

enum {
    // What nodes and coordinators say to each other (node.proto). 1: without sessions.
    VERSION_NODE_PROTOCOL = 2,
    VERSION_NODE_PROTOCOL_LEAST = 1,
    // What clients ask coordinators (task_service.proto, admin.proto); as metadata with every call.
    VERSION_CLIENT_PROTOCOL = 1,
    VERSION_CLIENT_PROTOCOL_LEAST = 1,
};
#define VERSION_CLIENT_KEY "dtf-client"

extern const char version_number[]; // "0.2.0"
extern const char
    version_commit[]; // "1a2b3c4d5e6f", with "-dirty" if there was more than the commit; or "unknown"

#endif
