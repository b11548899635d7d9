// SPDX-License-Identifier: Apache-2.0
// pem.c: the crypto library's PEM reader, kept away from the terminal.
#include "nrpc/auth/pem.h"

#include <openssl/bio.h>
#include <openssl/pem.h>

static int no_passphrase(char *out, int size, int for_writing, void *user)
{
    (void)out;
    (void)size;
    (void)for_writing;
    (void)user;
    return -1;
}

EVP_PKEY *pem_public(const char *text, size_t size)
{
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    EVP_PKEY *second = key ? PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!second)
        return key;
    EVP_PKEY_free(second);
    EVP_PKEY_free(key);
    return NULL;
}

EVP_PKEY *pem_private(const char *text, size_t size)
{
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}
