// SPDX-License-Identifier: Apache-2.0
// pem.h: keys from PEM texts. A passphrase is never asked for.
#ifndef AUTH_PEM_H
#define AUTH_PEM_H

#include <openssl/evp.h>
#include <stddef.h>

// Both: a key to be freed with EVP_PKEY_free; NULL if the text holds none.
EVP_PKEY *pem_public(const char *text, size_t size); // NULL also if it holds more than one
EVP_PKEY *pem_private(const char *text, size_t size);

#endif
