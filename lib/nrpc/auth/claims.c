// SPDX-License-Identifier: Apache-2.0
// claims.c: reads claims of which every type and value is somebody else's.
#include "nrpc/auth/claims.h"

#include "nrpc/auth/strict_json.h"

static int refuse(struct nrpc_status *st, const char *why)
{
    return status_set(st, NRPC_UNAUTHENTICATED, "%s", why);
}

static bool is_audience(const json_t *aud, const char *audience)
{
    if (!json_is_array(aud))
        return strict_json_is_text(aud, audience);
    bool found = false;
    size_t i;
    json_t *item;
    json_array_foreach(aud, i, item)
    {
        if (!json_is_string(item))
            return false;
        found |= strict_json_is_text(item, audience);
    }
    return found;
}

// A claim that is not there leaves *out as it is. Numbers stay where a double is exact, so that adding a
// leeway cannot overflow; fractions are cut off.
static bool read_time(const json_t *claims, const char *name, int64_t *out)
{
    static const double max = 1LL << 53;
    const json_t *claim = json_object_get(claims, name);
    if (!claim)
        return true;
    double value = json_number_value(claim);
    if (!json_is_number(claim) || !(value >= 0 && value <= max))
        return false;
    *out = (int64_t)value;
    return true;
}

static int read_times(const json_t *claims, int64_t leeway_s, struct nrpc_identity *identity,
                      struct nrpc_status *st)
{
    int64_t exp = -1, nbf = 0, iat = 0;
    if (!read_time(claims, "exp", &exp) || !read_time(claims, "nbf", &nbf) || !read_time(claims, "iat", &iat))
        return refuse(st, "a time in the token (exp, nbf, iat) is not a number of seconds");
    if (exp < 0)
        return refuse(st, "the token does not say when it expires (exp)");
    identity->expires_s = exp + leeway_s;
    identity->not_before_s = (nbf > iat ? nbf : iat) - leeway_s;
    return NRPC_OK;
}

static bool read_roles(const json_t *roles, struct nrpc_identity *identity)
{
    if (!roles)
        return true;
    if (json_is_string(roles))
        return identity_add_roles(identity, json_string_value(roles), " ");
    if (!json_is_array(roles))
        return false;
    size_t i;
    json_t *item;
    json_array_foreach(roles, i, item) if (!json_is_string(item) ||
                                           !identity_add_role(identity, json_string_value(item),
                                                              json_string_length(item))) return false;
    return true;
}

int claims_read(const json_t *claims, const struct claims_rules *rules, struct nrpc_identity **out,
                struct nrpc_status *st)
{
    *out = NULL;
    if (!is_audience(json_object_get(claims, "aud"), rules->audience))
        return refuse(st, "the token is not for this audience (aud)");
    if (rules->issuer && !strict_json_is_text(json_object_get(claims, "iss"), rules->issuer))
        return refuse(st, "the token is not of the issuer that is trusted here (iss)");
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    struct nrpc_identity *identity = subject ? identity_create(subject) : NULL;
    if (!identity)
        return refuse(st, "the token has no subject, or an unfit one (sub)");
    int code = read_times(claims, rules->leeway_s, identity, st);
    if (code == NRPC_OK && !read_roles(json_object_get(claims, rules->roles_claim), identity))
        code = refuse(st, "the token's roles are not a short list of names");
    if (code)
        nrpc_identity_unref(identity);
    else
        *out = identity;
    return code;
}
