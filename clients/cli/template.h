// SPDX-License-Identifier: Apache-2.0
// template.h: a command with places for an item, and the message that runs it.
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct template
{
    char *const *args; // the caller's
    size_t count;
    bool has_place;            // some argument contains {}
    uint32_t max_output_bytes; // as in dtf.v1.Command
    uint32_t timeout_ms;
};

void template_init(struct template *t, size_t count, char *const *args);

// A packed dtf.v1.Command with the item in the place of every {}, or as last argument if there is none; item
// NULL: the arguments as they are. INVALID_ARGUMENT if it gets larger than a subtask's parameter may be.
int template_pack(const struct template *t, const char *item, size_t item_bytes, struct arena *a,
                  const void **out, size_t *out_bytes, struct nrpc_status *st);

#endif
