// SPDX-License-Identifier: Apache-2.0
// plan.h: what is to be generated: every service and method, with all names settled and known not to clash.
//
// Names are kept as variables for templates (text.h).
//
// Of a file:
//   proto, stem  "dtf/v1/task.proto", "dtf/v1/task"
//   guard        its include guard
//   file         its struct nrpc_file
// Of a service:
//   Service      full name in the .proto file, "dtf.v1.TaskService"
//   service      what its C names begin with, "dtf_v1_task_service"
//   variable     its struct nrpc_service: the same, with a "_" behind it if C or our own code uses that word
//   file         the struct nrpc_file of its file
//   count        how many methods it has
// Of a method, besides those of its service:
//   Method       name in the .proto file, "Create"
//   method       its part of C names, "create"
//   handler      the same, with a "_" behind it if it is a C keyword: where it ends a name or is one
//   INDEX        its enum constant, "DTF_V1_TASK_SERVICE_CREATE"
//   Request, Response, request, response
//                protobuf-c's types ("Dtf__V1__CreateRequest") and descriptors
#ifndef PROTOC_GEN_NRPC_PLAN_H
#define PROTOC_GEN_NRPC_PLAN_H

#include "request.h"
#include "text.h"

#include <stdbool.h>

// Bits, so that a table can name several.
enum plan_kind {
    PLAN_UNARY = 1,
    PLAN_SERVER_STREAM = 2, // one request, many responses
    PLAN_CLIENT_STREAM = 4, // many requests, one response
    PLAN_BIDI = 8,
    PLAN_STREAM = PLAN_SERVER_STREAM | PLAN_CLIENT_STREAM | PLAN_BIDI,
    PLAN_CLIENT_STREAMS = PLAN_CLIENT_STREAM | PLAN_BIDI,
    PLAN_SERVER_STREAMS = PLAN_SERVER_STREAM | PLAN_BIDI,
};

struct plan_method {
    const struct text_var *vars;
    const char *full_name; // "dtf.v1.TaskService.Create"
    const char *comment;   // from the .proto file; may be NULL
    enum plan_kind kind;
    bool is_idempotent;
    const char *const *roles; // NULL at the end
};

struct plan_service {
    const struct text_var *vars;
    const char *full_name;
    const char *comment;
    struct plan_method *methods;
    size_t method_count;
};

struct plan_import {
    const char *stem, *file; // as the variables of its own file
};

struct plan_file {
    const struct text_var *vars;
    const char *proto, *stem;  // "dtf/v1/task.proto", "dtf/v1/task"
    const uint8_t *descriptor; // packed, without source information
    size_t descriptor_bytes;
    struct plan_import *imports; // by stem
    size_t import_count;
    struct plan_service *services;
    size_t service_count;
};

struct plan {
    struct plan_file *files;
    size_t file_count;
};

// Lives in the arena. NULL when the .proto files ask for something that cannot be generated; *error then is
// the sentence for their author, beginning with the place: "a.proto:3:1: ".
const struct plan *plan_create(struct arena *a, const code_request *request, const char **error);

#endif
