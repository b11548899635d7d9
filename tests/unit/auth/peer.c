// SPDX-License-Identifier: Apache-2.0
// peer.c: our side of a comparison with another implementation: signs or verifies one token.
//
//     auth_peer sign KEY.pem KID SUBJECT AUDIENCE EXPIRES_S [ROLE]...   prints the token
//     auth_peer verify KEYS AUDIENCE NOW_S < TOKEN                      prints "subject role role"; 1:
//     refused
#include "nrpc/auth/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sign(int argc, char **argv)
{
    struct nrpc_status st;
    struct nrpc_jwt_claims claims = {.subject = argv[4],
                                     .audience = argv[5],
                                     .expires_s = strtoll(argv[6], NULL, 10),
                                     .roles = (const char *const *)argv + 7,
                                     .role_count = (size_t)argc - 7};
    char *token;
    if (nrpc_jwt_sign(argv[2], argv[3], &claims, &token, &st)) {
        fprintf(stderr, "%s\n", st.text);
        return 1;
    }
    puts(token);
    free(token);
    return 0;
}

static int verify(char **argv)
{
    struct nrpc_status st;
    struct nrpc_auth_options options = {.keys_path = argv[2], .audience = argv[3]};
    struct nrpc_auth *auth;
    struct nrpc_identity *identity = NULL;
    char token[NRPC_TOKEN_MAX + 2] = "";
    if (!fgets(token, sizeof token, stdin))
        return 2;
    token[strcspn(token, "\n")] = 0;
    int code = nrpc_auth_create(&options, &auth, &st);
    if (code == NRPC_OK)
        code = nrpc_auth_verify(auth, token, strtoll(argv[4], NULL, 10), &identity, &st);
    if (code) {
        fprintf(stderr, "%s\n", st.text);
    } else {
        printf("%s", nrpc_identity_subject(identity));
        for (size_t i = 0; nrpc_identity_role(identity, i); i++)
            printf(" %s", nrpc_identity_role(identity, i));
        puts("");
    }
    nrpc_identity_unref(identity);
    nrpc_auth_destroy(auth);
    return code != NRPC_OK;
}

int main(int argc, char **argv)
{
    if (argc >= 7 && !strcmp(argv[1], "sign"))
        return sign(argc, argv);
    if (argc == 5 && !strcmp(argv[1], "verify"))
        return verify(argv);
    fprintf(stderr, "usage: auth_peer sign|verify ...\n");
    return 2;
}
