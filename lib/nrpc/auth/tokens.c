// SPDX-License-Identifier: Apache-2.0
// tokens.c: "token subject role,role" a line; of the token only its digest stays.
#include "nrpc/auth/tokens.h"

#include <string.h>

enum { TOKENS_MAX = 16384, TOKEN_MIN = 16 };

static const char spaces[] = " \t\r";

bool tokens_is_bearer(const char *text)
{
    static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    size_t n = strspn(text, characters);
    return n && !text[n + strspn(text + n, "=")];
}

// Sentences about a line must not show it.
static int parse_line(char *line, unsigned number, struct cache *cache, struct nrpc_status *st)
{
    char *at = NULL;
    const char *token = strtok_r(line, spaces, &at);
    if (!token || *token == '#')
        return NRPC_OK;
    const char *subject = strtok_r(NULL, spaces, &at), *roles = strtok_r(NULL, spaces, &at);
    if (!subject || strtok_r(NULL, spaces, &at))
        return status_set(st, NRPC_INVALID_ARGUMENT, "line %u is not \"token subject role,role\"", number);
    size_t size = strlen(token);
    if (size < TOKEN_MIN || size > NRPC_TOKEN_MAX || !tokens_is_bearer(token))
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "line %u: a token must have %d to %d letters, digits or characters of -._~+/=",
                          number, TOKEN_MIN, NRPC_TOKEN_MAX);
    struct nrpc_identity *identity = identity_create(subject);
    int code = NRPC_OK;
    struct digest digest = digest_of(token, size);
    if (!identity || (roles && !identity_add_roles(identity, roles, ",")))
        code = status_set(st, NRPC_INVALID_ARGUMENT, "line %u: a bad subject, a bad role, or too many roles",
                          number);
    else if (cache_count(cache) == TOKENS_MAX)
        code = status_set(st, NRPC_INVALID_ARGUMENT, "line %u: there are more than %d tokens", number,
                          TOKENS_MAX);
    else if (!cache_add(cache, &digest, identity))
        code = status_set(st, NRPC_INVALID_ARGUMENT, "line %u: this token was on an earlier line", number);
    nrpc_identity_unref(identity);
    return code;
}

int tokens_parse(char *text, struct cache **out, struct nrpc_status *st)
{
    *out = NULL;
    struct cache *cache = cache_create(TOKENS_MAX);
    int code = NRPC_OK;
    unsigned number = 0;
    for (char *line; code == NRPC_OK && (line = strsep(&text, "\n"));)
        code = parse_line(line, ++number, cache, st);
    if (code == NRPC_OK && !cache_count(cache))
        code = status_set(st, NRPC_INVALID_ARGUMENT, "there is no token in it");
    if (code)
        cache_destroy(cache);
    else
        *out = cache;
    return code;
}
