// SPDX-License-Identifier: Apache-2.0
// ids.h: random numbers that name something for ever. Any thread.
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdint.h>

uint64_t ids_random(void); // from the system; never 0; below 2^63, so that it fits a signed column

#endif
