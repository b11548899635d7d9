// SPDX-License-Identifier: Apache-2.0
// messages_main.c: protoc-gen-c-messages, a protoc plugin: protobuf-c's generator without the services.
//
// What protobuf-c generates for services is of no use to nrpc, and does not even compile when a method is
// called like a C keyword (Register). So this takes them out of the request and hands the rest to
// protoc-gen-c, which answers protoc.
#include "request.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

static int fail(const char *problem)
{
    fprintf(stderr, "protoc-gen-c-messages: %s\n", problem);
    return EXIT_FAILURE;
}

static int run(struct arena *a)
{
    const char *problem = NULL;
    const code_request *request = request_read(stdin, a, &problem);
    if (!request)
        return fail(problem);
    for (size_t i = 0; i < request->n_proto_file; i++)
        request->proto_file[i]->n_service = 0;
    size_t size = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    uint8_t *bytes = arena_alloc(a, size);
    google__protobuf__compiler__code_generator_request__pack(request, bytes);

    FILE *generator = popen("'" PROTOC_GEN_C "'", "w");
    if (!generator)
        return fail("cannot start " PROTOC_GEN_C);
    size_t written = fwrite(bytes, 1, size, generator);
    int status = pclose(generator);
    if (written != size || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(PROTOC_GEN_C " failed");
    return EXIT_SUCCESS;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // a generator that dies early shows in its exit status
    struct arena arena;
    arena_init(&arena, 0);
    int code = run(&arena);
    arena_fini(&arena);
    return code;
}
