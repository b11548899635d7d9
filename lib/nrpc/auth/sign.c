// SPDX-License-Identifier: Apache-2.0
// sign.c: makes JWTs: for command lines and tests, which have a private key at hand.
#include "base/mem.h"
#include "nrpc/auth/auth.h"
#include "nrpc/auth/base64url.h"
#include "nrpc/auth/file.h"
#include "nrpc/auth/keys.h"
#include "nrpc/auth/pem.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static int read_key(const char *path, EVP_PKEY **out, struct nrpc_status *st)
{
    *out = NULL;
    struct file file;
    struct nrpc_status why;
    int code = file_read(path, &file, &why);
    if (code)
        return status_set(st, code, "%s: %s", path, why.text);
    *out = pem_private(file.text, file.size);
    file_free(&file);
    if (*out && key_kind_of(*out))
        return NRPC_OK;
    return status_set(st, NRPC_INVALID_ARGUMENT,
                      "%s: it is not a private key of RSA or Ed25519 as PEM without a passphrase", path);
}

// ---- header and claims; each of these returns false for a text that is not UTF-8

static bool set_text(json_t *object, const char *name, const char *text)
{
    return !text || !json_object_set_new(object, name, json_string(text));
}

static bool set_time(json_t *object, const char *name, int64_t value_s)
{
    return !value_s || !json_object_set_new(object, name, json_integer(value_s));
}

static bool set_roles(json_t *object, const struct nrpc_jwt_claims *c)
{
    if (!c->role_count)
        return true;
    json_t *roles = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < c->role_count; i++)
        ok = !json_array_append_new(roles, json_string(c->roles[i]));
    return !json_object_set_new(object, c->roles_claim ? c->roles_claim : "roles", roles) && ok;
}

static bool set_header(json_t *object, const char *alg, const char *kid)
{
    return set_text(object, "alg", alg) && set_text(object, "typ", "JWT") && set_text(object, "kid", kid);
}

static bool set_claims(json_t *object, const struct nrpc_jwt_claims *c)
{
    return set_text(object, "sub", c->subject) && set_text(object, "iss", c->issuer) &&
           set_text(object, "aud", c->audience) && set_time(object, "iat", c->issued_s) &&
           set_time(object, "nbf", c->not_before_s) && set_time(object, "exp", c->expires_s) &&
           set_roles(object, c);
}

// ---- the token, part by part

// Appends the bytes as base64url, behind a dot if they are not the first part.
static void append(char **token, const void *data, size_t size)
{
    size_t at = *token ? strlen(*token) : 0;
    *token = mem_realloc(*token, at + 1 + BASE64URL_SIZE(size) + 1);
    if (at)
        (*token)[at++] = '.';
    base64url_encode(data, size, *token + at);
}

static void append_json(char **token, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (!text)
        abort(); // out of memory
    append(token, text, strlen(text));
    free(text);
}

static bool append_signature(char **token, EVP_PKEY *key)
{
    const struct key_kind *kind = key_kind_of(key);
    size_t size = (size_t)EVP_PKEY_get_size(key);
    unsigned char *signature = mem_alloc(size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit_ex(context, NULL, kind->digest, NULL, NULL, key, NULL) > 0 &&
              EVP_DigestSign(context, signature, &size, (unsigned char *)*token, strlen(*token)) > 0;
    EVP_MD_CTX_free(context);
    if (ok)
        append(token, signature, size);
    free(signature);
    return ok;
}

static int sign(EVP_PKEY *key, const char *kid, const struct nrpc_jwt_claims *claims, char **token,
                struct nrpc_status *st)
{
    json_t *header = json_object(), *body = json_object();
    int code = NRPC_OK;
    if (!set_header(header, key_kind_of(key)->alg, kid) || !set_claims(body, claims)) {
        code = status_set(st, NRPC_INVALID_ARGUMENT, "a text for the token is not UTF-8");
    } else {
        append_json(token, header);
        append_json(token, body);
        if (!append_signature(token, key))
            code = status_set(st, NRPC_INVALID_ARGUMENT, "the key cannot sign");
    }
    json_decref(header);
    json_decref(body);
    return code;
}

int nrpc_jwt_sign(const char *key_path, const char *kid, const struct nrpc_jwt_claims *claims, char **token,
                  struct nrpc_status *st)
{
    *token = NULL;
    EVP_PKEY *key;
    ERR_set_mark();
    int code = read_key(key_path, &key, st);
    if (code == NRPC_OK)
        code = sign(key, kid, claims, token, st);
    EVP_PKEY_free(key);
    ERR_pop_to_mark();
    if (code == NRPC_OK)
        return status_ok(st);
    free(*token);
    *token = NULL;
    return code;
}
