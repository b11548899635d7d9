// SPDX-License-Identifier: Apache-2.0
// plan.h: what is to be generated: every service and method, with all names settled and known not to clash.
//
// Names are kept as variables for templates (text.h).
//
// Of a file:
//   proto, stem  "dtf/v1/task.proto", "dtf/v1/task"
//   guard        its include guard
// Of a service:
//   Service      full name in the .proto file, "dtf.v1.TaskService"
//   service      what its C names begin with, "dtf_v1_task_service"
//   variable     its struct nrpc_service: the same, with a "_" behind it if C or our parameters use that word
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

struct plan_method {
    const struct text_var *vars;
    const char *full_name; // "dtf.v1.TaskService.Create"
    const char *comment;   // from the .proto file; may be NULL
};

struct plan_service {
    const struct text_var *vars;
    const char *full_name;
    const char *comment;
    struct plan_method *methods;
    size_t method_count;
};

struct plan_file {
    const struct text_var *vars;
    const char *proto, *stem; // "dtf/v1/task.proto", "dtf/v1/task"
    struct plan_service *services;
    size_t service_count;
};

struct plan {
    struct plan_file *files;
    size_t file_count;
};

// Lives in the arena. NULL when the .proto files ask for something that cannot be generated; *error then is
// the sentence for their author, beginning with the file's name.
const struct plan *plan_create(struct arena *a, const code_request *request, const char **error);

#endif
