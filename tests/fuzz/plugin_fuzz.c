// SPDX-License-Identifier: Apache-2.0
// plugin_fuzz.c: what protoc-gen-nrpc makes of a CodeGeneratorRequest of any bytes: a refusal, or C.
#include "emit.h"
#include "plan.h"
#include "request.h"
#include "text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void generate(struct arena *a, const code_request *request)
{
    const char *error = NULL;
    const struct plan *plan = plan_create(a, request, &error);
    if (!plan && !error)
        abort();
    for (size_t i = 0; plan && i < plan->file_count; i++) {
        struct text header = {.arena = a}, source = {.arena = a};
        emit_header(&header, &plan->files[i]);
        emit_source(&source, &plan->files[i]);
        if (!header.length || !source.length)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    const char *problem = NULL;
    if (!size)
        return 0;
    FILE *in = fmemopen((void *)data, size, "rb");
    arena_init(&a, 0);
    const code_request *request = request_read(in, &a, &problem);
    if (request)
        generate(&a, request);
    else if (!problem)
        abort();
    arena_fini(&a);
    (void)fclose(in);
    return 0;
}
