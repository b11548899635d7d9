// SPDX-License-Identifier: Apache-2.0
// jwt.c: header, key, signature, claims: in that order, so that claims are read only from who may make them.
#include "nrpc/auth/jwt.h"

#include "nrpc/auth/base64url.h"
#include "nrpc/auth/strict_json.h"

#include <stdatomic.h>
#include <string.h>
#include <strings.h>

enum { HEADER, CLAIMS, SIGNATURE, PARTS };

struct part {
    const char *text;
    size_t size;
};

static int refuse(struct nrpc_status *st, const char *why)
{
    return status_set(st, NRPC_UNAUTHENTICATED, "%s", why);
}

static bool split(const char *token, size_t size, struct part *parts)
{
    const char *at = token, *end = token + size;
    for (int i = 0; i < PARTS; i++) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        if (!dot != (i == SIGNATURE))
            return false;
        parts[i] = (struct part){at, (size_t)((dot ? dot : end) - at)};
        at = dot ? dot + 1 : end;
    }
    return true;
}

static json_t *decode_object(const struct part *part)
{
    unsigned char bytes[BASE64URL_BYTES(NRPC_TOKEN_MAX)];
    size_t size;
    return base64url_decode(part->text, part->size, bytes, &size) ? strict_json_object(bytes, size) : NULL;
}

// A JWT of another purpose (a logout token, a proof of possession) says so in its typ (RFC 8725, 3.11).
static bool is_access_token(const json_t *typ)
{
    static const char *const types[] = {"JWT", "at+jwt", "application/jwt", "application/at+jwt"};
    for (size_t i = 0; json_is_string(typ) && i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(json_string_value(typ), types[i]))
            return true;
    return !typ;
}

// The key that the header wants. What it says of the algorithm must agree with the key; it decides nothing.
static const struct key *choose_key(const json_t *header, const struct keys *keys, struct nrpc_status *st)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const struct key_kind *kind = alg ? key_kind_by_alg(alg) : NULL;
    const json_t *kid = json_object_get(header, "kid");
    const char *wrong = NULL;
    if (!kind)
        wrong = "the token is signed by an algorithm (alg) that is not taken here";
    else if (json_object_get(header, "crit"))
        wrong = "the token has extensions that are not known here (crit)";
    else if (!is_access_token(json_object_get(header, "typ")))
        wrong = "the token is of another type (typ)";
    else if (kid && !json_is_string(kid))
        wrong = "the token's kid is no text";
    if (wrong) {
        refuse(st, wrong);
        return NULL;
    }
    const struct key *key = keys_find(keys, json_string_value(kid), st);
    if (key && key->kind != kind) {
        refuse(st, "the token's algorithm (alg) is not its key's");
        return NULL;
    }
    return key;
}

static bool is_signed(struct jwt_verifier *verifier, const struct key *key, const struct part *parts)
{
    unsigned char signature[BASE64URL_BYTES(NRPC_TOKEN_MAX)];
    size_t size;
    if (!base64url_decode(parts[SIGNATURE].text, parts[SIGNATURE].size, signature, &size))
        return false;
    atomic_fetch_add_explicit(&verifier->signature_checks, 1, memory_order_relaxed);
    const char *begin = parts[HEADER].text, *end = parts[CLAIMS].text + parts[CLAIMS].size;
    return key_verify(key, begin, (size_t)(end - begin), signature, size);
}

int jwt_verify(struct jwt_verifier *verifier, const struct keys *keys, const char *token, size_t size,
               struct nrpc_identity **out, struct nrpc_status *st)
{
    *out = NULL;
    struct part parts[PARTS];
    if (!split(token, size, parts))
        return refuse(st, "the token is not a JWT: it does not have three parts");
    json_t *header = decode_object(&parts[HEADER]);
    if (!header)
        return refuse(st, "the token's header is not in order");
    const struct key *key = choose_key(header, keys, st);
    json_decref(header);
    if (!key)
        return NRPC_UNAUTHENTICATED;
    if (!is_signed(verifier, key, parts))
        return refuse(st, "the token's signature is wrong");
    json_t *claims = decode_object(&parts[CLAIMS]);
    int code = claims ? claims_read(claims, &verifier->rules, out, st)
                      : refuse(st, "the token's claims are not in order");
    json_decref(claims);
    return code;
}
