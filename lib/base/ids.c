// SPDX-License-Identifier: Apache-2.0
// ids.c: random numbers.
#include "base/ids.h"

#include <stdlib.h>
#include <sys/random.h>

uint64_t ids_random(void)
{
    uint64_t id = 0;
    while (!id) {
        if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
            abort();
        id &= INT64_MAX;
    }
    return id;
}
