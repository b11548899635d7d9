// SPDX-License-Identifier: Apache-2.0
// digest.h: what is kept of a token: its SHA-256.
#ifndef AUTH_DIGEST_H
#define AUTH_DIGEST_H

#include <stddef.h>

struct digest {
    unsigned char bytes[32];
};

struct digest digest_of(const void *data, size_t size);

#endif
