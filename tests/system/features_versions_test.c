// SPDX-License-Identifier: Apache-2.0
// features_versions_test.c: nodes and clients that a coordinator does not understand are told so, and by whom
// the upgrade must begin; those from before versions were said go on.
#include "base/version.h"
#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/node.nrpc.h"
#include "system/daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct daemon coordinator;
static struct nrpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    struct nrpc_status st;

    const char *args[] = {"--memory", "--role", "coordinator", "--listen", "tcp://127.0.0.1:0", NULL};
    assert_true(daemon_start(&coordinator, "dtfd", args));
    assert_int_equal(nrpc_channel_open(coordinator.url, NULL, &channel, &st), NRPC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nrpc_channel_close(channel);
    daemon_kill(&coordinator, SIGTERM);
    return 0;
}

static int register_node(uint32_t protocol, uint64_t session, struct nrpc_status *st)
{
    char *types[] = {"command"};
    Dtf__V1__RegisterRequest q = DTF__V1__REGISTER_REQUEST__INIT;
    Dtf__V1__RegisterResponse *r;
    q.name = "node";
    q.slots = 1;
    q.types = types;
    q.n_types = 1;
    q.protocol = protocol;
    q.session = session;
    int code = dtf_v1_node_service_register_(channel, NULL, &q, &r, st);
    if (code == NRPC_OK) {
        assert_true(r->session == session && r->protocol == VERSION_NODE_PROTOCOL);
        protobuf_c_message_free_unpacked(&r->base, NULL);
    }
    return code;
}

static void nodes(void **state)
{
    (void)state;
    struct nrpc_status st;
    assert_int_equal(register_node(0, 0, &st), NRPC_OK); // from before it was said
    assert_int_equal(register_node(VERSION_NODE_PROTOCOL_LEAST, 0, &st), NRPC_OK);
    assert_int_equal(register_node(VERSION_NODE_PROTOCOL, 7, &st), NRPC_OK);
    const uint32_t later[] = {VERSION_NODE_PROTOCOL + 1, UINT32_MAX};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(register_node(later[i], 8, &st), NRPC_FAILED_PRECONDITION);
        assert_non_null(strstr(st.text, "upgrade the coordinators first"));
    }
}

static int ask_as(const char *version, struct nrpc_status *st)
{
    const struct nrpc_metadata said = {.key = VERSION_CLIENT_KEY, .value = version};
    const struct nrpc_call_options o = {.metadata = &said, .metadata_count = version != NULL};
    Dtf__V1__RolesRequest q = DTF__V1__ROLES_REQUEST__INIT;
    Dtf__V1__RolesResponse *r;
    int code = dtf_v1_admin_service_roles(channel, &o, &q, &r, st);
    if (code == NRPC_OK) {
        assert_string_equal(r->version, version_number);
        assert_true(*r->commit);
        protobuf_c_message_free_unpacked(&r->base, NULL);
    }
    return code;
}

static void clients(void **state)
{
    (void)state;
    struct nrpc_status st;
    char ours[12], later[12];
    snprintf(ours, sizeof ours, "%d", VERSION_CLIENT_PROTOCOL);
    snprintf(later, sizeof later, "%d", VERSION_CLIENT_PROTOCOL + 1);
    assert_int_equal(ask_as(NULL, &st), NRPC_OK); // other languages, and the program nrpc
    assert_int_equal(ask_as(ours, &st), NRPC_OK);
    assert_int_equal(ask_as(later, &st), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "upgrade the coordinators first"));
    const char *wrong[] = {"", "0", "-1", "1x", "one", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(ask_as(wrong[i], &st), NRPC_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nodes), cmocka_unit_test(clients)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
