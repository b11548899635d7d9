// SPDX-License-Identifier: Apache-2.0
// keys.c: the table of kinds, and reading a set: the first thing that is not in order refuses the whole file.
#include "nrpc/auth/keys.h"

#include "base/mem.h"
#include "nrpc/auth/jwk.h"
#include "nrpc/auth/pem.h"
#include "nrpc/auth/strict_json.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64, JWKS_MEMBERS_MAX = 1024, KID_MAX = 256 };

struct keys {
    _Atomic unsigned refs;
    size_t count;
    struct key items[KEYS_MAX];
};

static const struct key_kind kinds[] = {
    {"RSA", NULL, "RS256", "RSA", "SHA256", 2048, 8192, jwk_rsa},
    {"OKP", "Ed25519", "EdDSA", "ED25519", NULL, 0, 8192, jwk_ed25519},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const struct key_kind *key_kind_of(const EVP_PKEY *key)
{
    for (size_t i = 0; i < KINDS; i++)
        if (EVP_PKEY_is_a(key, kinds[i].name))
            return &kinds[i];
    return NULL;
}

const struct key_kind *key_kind_by_alg(const char *alg)
{
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(alg, kinds[i].alg))
            return &kinds[i];
    return NULL;
}

// ---- making a set

static bool is_sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool sound = context && EVP_PKEY_public_check(context) > 0;
    EVP_PKEY_CTX_free(context);
    return sound;
}

// Takes the key, whatever comes of it; NULL is a key that could not be made.
static int add(struct keys *keys, const char *kid, EVP_PKEY *key, struct nrpc_status *st)
{
    size_t number = keys->count + 1;
    const struct key_kind *kind = key ? key_kind_of(key) : NULL;
    int code = NRPC_OK;
    if (!kind)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "key %zu is not a key of RSA or Ed25519", number);
    else if (EVP_PKEY_get_bits(key) < kind->bits_min || EVP_PKEY_get_bits(key) > kind->bits_max)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "key %zu does not have %d to %d bits", number,
                          kind->bits_min, kind->bits_max);
    else if (number > KEYS_MAX)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "there are more than %d keys", KEYS_MAX);
    else if (kid && strlen(kid) > KID_MAX)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "the kid of key %zu is too long", number);
    for (size_t i = 0; code == NRPC_OK && i < keys->count; i++)
        if (!kid || !keys->items[i].kid || !strcmp(kid, keys->items[i].kid))
            code = status_set(st, NRPC_INVALID_ARGUMENT, "keys %zu and %zu are not told apart by a kid",
                              i + 1, number);
    if (code == NRPC_OK && !is_sound(key))
        code = status_set(st, NRPC_INVALID_ARGUMENT, "key %zu is broken", number);
    if (code)
        EVP_PKEY_free(key);
    else
        keys->items[keys->count++] = (struct key){kind, mem_strdup(kid), key};
    return code;
}

// NULL for a key that is not for us.
static const struct key_kind *kind_of_jwk(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use"), *alg = json_object_get(jwk, "alg");
    for (size_t i = 0; i < KINDS; i++)
        if (strict_json_is_text(json_object_get(jwk, "kty"), kinds[i].kty) &&
            (!kinds[i].crv || strict_json_is_text(json_object_get(jwk, "crv"), kinds[i].crv)) &&
            (!use || strict_json_is_text(use, "sig")) && (!alg || strict_json_is_text(alg, kinds[i].alg)))
            return &kinds[i];
    return NULL;
}

static int add_jwk(struct keys *keys, const json_t *jwk, struct nrpc_status *st)
{
    const json_t *kid = json_object_get(jwk, "kid");
    if (!json_is_object(jwk) || (kid && !json_is_string(kid)))
        return status_set(st, NRPC_INVALID_ARGUMENT, "a key is no object, or its kid is no text");
    if (json_object_get(jwk, "d") || json_object_get(jwk, "k"))
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "it holds a private or secret key; public keys are enough");
    const struct key_kind *kind = kind_of_jwk(jwk);
    return kind ? add(keys, json_string_value(kid), kind->from_jwk(jwk), st) : NRPC_OK;
}

static int read_jwks(struct keys *keys, const char *text, size_t size, struct nrpc_status *st)
{
    json_t *jwks = strict_json_object(text, size);
    const json_t *members = json_object_get(jwks, "keys");
    int code = NRPC_OK;
    if (!json_is_array(members))
        code = status_set(st, NRPC_INVALID_ARGUMENT, "it is not a JSON object with an array \"keys\"");
    else if (json_array_size(members) > JWKS_MEMBERS_MAX)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "there are more than %d keys", JWKS_MEMBERS_MAX);
    for (size_t i = 0; code == NRPC_OK && i < json_array_size(members); i++)
        code = add_jwk(keys, json_array_get(members, i), st);
    if (code == NRPC_OK && !keys->count)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "there is no key for RS256 or EdDSA in it");
    json_decref(jwks);
    return code;
}

static int read_pem(struct keys *keys, const char *text, size_t size, struct nrpc_status *st)
{
    EVP_PKEY *key = pem_public(text, size);
    if (!key)
        return status_set(st, NRPC_INVALID_ARGUMENT, "it is neither a JWKS nor one public key as PEM");
    return add(keys, NULL, key, st);
}

int keys_parse(const char *text, size_t size, struct keys **out, struct nrpc_status *st)
{
    *out = NULL;
    struct keys *keys = mem_calloc(1, sizeof *keys);
    atomic_init(&keys->refs, 1);
    size_t blank = 0;
    while (blank < size && memchr(" \t\r\n", text[blank], 4))
        blank++;
    bool is_json = blank < size && text[blank] == '{';
    ERR_set_mark(); // what fails here is told by *st, and not left for others of this thread to find
    int code = (is_json ? read_jwks : read_pem)(keys, text, size, st);
    ERR_pop_to_mark();
    if (code)
        keys_unref(keys);
    else
        *out = keys;
    return code;
}

// ---- using it

struct keys *keys_ref(struct keys *keys)
{
    atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void keys_unref(struct keys *keys)
{
    if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        EVP_PKEY_free(keys->items[i].key);
        free(keys->items[i].kid);
    }
    free(keys);
}

const struct key *keys_find(const struct keys *keys, const char *kid, struct nrpc_status *st)
{
    const struct key *only = keys->count == 1 ? &keys->items[0] : NULL;
    if (only && (!kid || !only->kid))
        return only;
    for (size_t i = 0; kid && i < keys->count; i++)
        if (!strcmp(kid, keys->items[i].kid))
            return &keys->items[i];
    status_set(st, NRPC_UNAUTHENTICATED,
               kid ? "the token's key (kid) is not known" : "the token does not name its key (kid)");
    return NULL;
}

bool key_verify(const struct key *key, const void *data, size_t size, const unsigned char *signature,
                size_t signature_size)
{
    ERR_set_mark();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context &&
                EVP_DigestVerifyInit_ex(context, NULL, key->kind->digest, NULL, NULL, key->key, NULL) > 0 &&
                EVP_DigestVerify(context, signature, signature_size, data, size) == 1;
    EVP_MD_CTX_free(context);
    ERR_pop_to_mark();
    return good;
}
