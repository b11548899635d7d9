// SPDX-License-Identifier: Apache-2.0
// identity.c: identities: made by one thread, then shared unchanged.
#include "nrpc/auth/identity.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Subjects and roles end up in logs, files and protobuf strings.
static bool is_name(const char *text, size_t max)
{
    size_t n = strlen(text);
    if (n < 1 || n > max || !utf8_is_valid(text))
        return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            return false;
    return true;
}

struct nrpc_identity *identity_create(const char *subject)
{
    if (!is_name(subject, NRPC_SUBJECT_MAX))
        return NULL;
    struct nrpc_identity *identity = mem_calloc(1, sizeof *identity);
    atomic_init(&identity->refs, 1);
    identity->subject = mem_strdup(subject);
    identity->not_before_s = INT64_MIN;
    identity->expires_s = INT64_MAX;
    return identity;
}

bool identity_add_role(struct nrpc_identity *identity, const char *role, size_t size)
{
    char copy[NRPC_ROLE_MAX + 1];
    if (size > NRPC_ROLE_MAX || identity->role_count == NRPC_ROLES_MAX)
        return false;
    memcpy(copy, role, size);
    copy[size] = 0;
    if (!is_name(copy, NRPC_ROLE_MAX))
        return false;
    mem_grow(&identity->roles, &identity->role_capacity, identity->role_count + 1, sizeof *identity->roles);
    identity->roles[identity->role_count++] = mem_strdup(copy);
    return true;
}

bool identity_add_roles(struct nrpc_identity *identity, const char *roles, const char *separators)
{
    for (const char *at = roles + strspn(roles, separators); *at; at += strspn(at, separators)) {
        size_t size = strcspn(at, separators);
        if (!identity_add_role(identity, at, size))
            return false;
        at += size;
    }
    return true;
}

int identity_check_time(const struct nrpc_identity *identity, int64_t now_s, struct nrpc_status *st)
{
    if (now_s >= identity->expires_s)
        return status_set(st, NRPC_UNAUTHENTICATED, "the token has expired");
    if (now_s < identity->not_before_s)
        return status_set(st, NRPC_UNAUTHENTICATED, "the token is not valid yet");
    return NRPC_OK;
}

struct nrpc_identity *nrpc_identity_ref(struct nrpc_identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

void nrpc_identity_unref(struct nrpc_identity *identity)
{
    if (!identity || atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < identity->role_count; i++)
        free(identity->roles[i]);
    free(identity->roles);
    free(identity->subject);
    free(identity);
}

const char *nrpc_identity_subject(const struct nrpc_identity *identity)
{
    return identity->subject;
}

const char *nrpc_identity_role(const struct nrpc_identity *identity, size_t index)
{
    return index < identity->role_count ? identity->roles[index] : NULL;
}

bool nrpc_identity_has_role(const struct nrpc_identity *identity, const char *role)
{
    for (size_t i = 0; i < identity->role_count; i++)
        if (!strcmp(identity->roles[i], role))
            return true;
    return false;
}
