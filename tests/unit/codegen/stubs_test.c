// SPDX-License-Identifier: Apache-2.0
// stubs_test.c: the generated descriptions, handler tables and stubs, over a fake nrpc.
#include "bare.nrpc.h"
#include "fake_nrpc.h"
#include "names.nrpc.h"
#include "renamed.nrpc.h"
#include "shop/common.nrpc.h"
#include "shop/v1/order.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

// Opaque things that are only passed through.
static char places[4];
#define SERVER ((struct nrpc_server *)(void *)&places[0])
#define CHANNEL ((struct nrpc_channel *)(void *)&places[1])
#define CALL ((struct nrpc_call *)(void *)&places[2])
#define USER ((void *)&places[3])

static int reset(void **state)
{
    (void)state;
    fake = (struct fake_nrpc){0};
    return 0;
}

// ---------------------------------------------------------------- descriptions

struct expected_method {
    size_t index;
    const char *name;
    const ProtobufCMessageDescriptor *request, *response;
};

static void check_service(const struct nrpc_service *service, const char *name,
                          const struct expected_method *expected, size_t count)
{
    assert_string_equal(service->name, name);
    assert_int_equal(service->method_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct nrpc_method *m = &service->methods[expected[i].index];
        assert_int_equal(expected[i].index, i);
        assert_string_equal(m->name, expected[i].name);
        assert_ptr_equal(m->request, expected[i].request);
        assert_ptr_equal(m->response, expected[i].response);
        assert_non_null(m->invoke);
        assert_non_null(m->is_handled);
    }
}

#define CHECK_SERVICE(service, name, ...)                                                                    \
    do {                                                                                                     \
        const struct expected_method table[] = {__VA_ARGS__};                                                \
        check_service(service, name, table, sizeof table / sizeof table[0]);                                 \
    } while (0)

static void test_order_services(void **state)
{
    (void)state;
    CHECK_SERVICE(&shop_v1_order_service, "shop.v1.OrderService",
                  {SHOP_V1_ORDER_SERVICE_CREATE, "/shop.v1.OrderService/Create",
                   &shop__v1__create_request__descriptor, &shop__v1__create_response__descriptor},
                  {SHOP_V1_ORDER_SERVICE_FIND_LINE, "/shop.v1.OrderService/FindLine",
                   &shop__v1__order__line__note__descriptor, &shop__v1__order__line__descriptor},
                  {SHOP_V1_ORDER_SERVICE_LIST_PRICES, "/shop.v1.OrderService/ListPrices",
                   &shop__common__page__token__descriptor, &shop__common__money__descriptor});
    CHECK_SERVICE(&shop_v1_audit_service, "shop.v1.AuditService",
                  {SHOP_V1_AUDIT_SERVICE_CREATE, "/shop.v1.AuditService/Create",
                   &shop__v1__create_request__descriptor, &shop__v1__create_response__descriptor});
}

#define HTTP "/my_pkg.v1_beta.HTTPStuff.HTTPServer/"
#define NOW &my_pkg__v1_beta__httpstuff__get_urlnow__descriptor

static void test_hard_names(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *outer = &my_pkg__v1_beta__httpstuff__foo_bar_baz__descriptor;
    const ProtobufCMessageDescriptor *inner = &my_pkg__v1_beta__httpstuff__foo_bar_baz__inner_one__descriptor;
    CHECK_SERVICE(
        &my_pkg_v1_beta_http_stuff_http_server, "my_pkg.v1_beta.HTTPStuff.HTTPServer",
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_GET_URL, HTTP "GetURL", NOW,
         &my_pkg__v1_beta__httpstuff__httpserver2_req__descriptor},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_LIST_IDS, HTTP "ListIDs", inner, outer},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_GET_MD5_SUM, HTTP "get_MD5Sum", outer, inner},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_HTTP2_SERVER_PUSH, HTTP "HTTP2ServerPush", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_REGISTER, HTTP "Register", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_CONTINUE, HTTP "Continue", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_DEFAULT, HTTP "Default", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_UNIX, HTTP "Unix", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_USER, HTTP "User", NOW, NOW},
        {MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_A_VERY_LONG_METHOD_NAME_THAT_MAKES_EVERY_GENERATED_LINE_BREAK_WHEREVER_IT_CAN,
         HTTP "AVeryLongMethodNameThatMakesEveryGeneratedLineBreakWhereverItCan", NOW, NOW});
}

static void test_service_without_methods(void **state)
{
    (void)state;
    assert_string_equal(my_pkg_v1_beta_http_stuff_idle.name, "my_pkg.v1_beta.HTTPStuff.Idle");
    assert_int_equal(my_pkg_v1_beta_http_stuff_idle.method_count, 0);
}

static void test_no_package(void **state)
{
    (void)state;
    CHECK_SERVICE(&echo, "Echo", {ECHO_SAY, "/Echo/Say", &ping__descriptor, &ping__descriptor});
    CHECK_SERVICE(&int_, "Int", {INT_SAY, "/Int/Say", &ping__descriptor, &ping__descriptor});
    CHECK_SERVICE(&request_, "Request", {REQUEST_SAY, "/Request/Say", &ping__descriptor, &ping__descriptor});
}

static void test_c_package(void **state)
{
    (void)state;
    CHECK_SERVICE(&far_away_shelf, "far.away.Shelf",
                  {FAR_AWAY_SHELF_PUT, "/far.away.Shelf/Put", &near_by__here__thing__part__descriptor,
                   &near_by__here__thing__descriptor},
                  {FAR_AWAY_SHELF_PAY, "/far.away.Shelf/Pay", &shop__common__money__descriptor,
                   &near_by__here__thing__descriptor});
}

// ---------------------------------------------------------------- handlers

struct handled {
    int creates, continues;
    struct nrpc_call *call;
    const void *request;
};

static void handle_create(struct nrpc_call *call, const Shop__V1__CreateRequest *request, void *user)
{
    struct handled *h = user;
    h->creates++;
    h->call = call;
    h->request = request;
}

static void handle_continue(struct nrpc_call *call, const MyPkg__V1Beta__HTTPStuff__GetURLNow *request,
                            void *user)
{
    struct handled *h = user;
    h->continues++;
    h->call = call;
    h->request = request;
}

static void test_invoke_calls_the_handler(void **state)
{
    (void)state;
    const struct shop_v1_order_service_handlers handlers = {.create = handle_create};
    const struct nrpc_method *m = &shop_v1_order_service.methods[SHOP_V1_ORDER_SERVICE_CREATE];
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    struct handled h = {0};
    m->invoke(&handlers, CALL, &request.base, &h);
    assert_int_equal(h.creates, 1);
    assert_ptr_equal(h.call, CALL);
    assert_ptr_equal(h.request, &request);
}

static void test_is_handled_looks_at_its_own_handler(void **state)
{
    (void)state;
    const struct shop_v1_order_service_handlers handlers = {.create = handle_create};
    const struct nrpc_method *methods = shop_v1_order_service.methods;
    assert_true(methods[SHOP_V1_ORDER_SERVICE_CREATE].is_handled(&handlers));
    assert_false(methods[SHOP_V1_ORDER_SERVICE_FIND_LINE].is_handled(&handlers));
    assert_false(methods[SHOP_V1_ORDER_SERVICE_LIST_PRICES].is_handled(&handlers));
}

static void test_reserved_words_get_an_underscore(void **state)
{
    (void)state;
    const struct my_pkg_v1_beta_http_stuff_http_server_handlers handlers = {.continue_ = handle_continue};
    const struct nrpc_method *methods = my_pkg_v1_beta_http_stuff_http_server.methods;
    assert_null(handlers.register_);
    assert_null(handlers.default_);
    assert_null(handlers.unix_);
    MyPkg__V1Beta__HTTPStuff__GetURLNow request = MY_PKG__V1_BETA__HTTPSTUFF__GET_URLNOW__INIT;
    struct handled h = {0};
    methods[MY_PKG_V1_BETA_HTTP_STUFF_HTTP_SERVER_CONTINUE].invoke(&handlers, CALL, &request.base, &h);
    assert_int_equal(h.continues, 1);
}

static void test_register_adds_the_service(void **state)
{
    (void)state;
    const struct shop_v1_order_service_handlers handlers = {.create = handle_create};
    struct nrpc_status st;
    fake.code = NRPC_ALREADY_EXISTS;
    assert_int_equal(shop_v1_order_service_register(SERVER, NRPC_INLINE, &handlers, USER, &st),
                     NRPC_ALREADY_EXISTS);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.server, SERVER);
    assert_ptr_equal(fake.service, &shop_v1_order_service);
    assert_int_equal(fake.dispatch, NRPC_INLINE);
    assert_ptr_equal(fake.handlers, &handlers);
    assert_ptr_equal(fake.user, USER);
    assert_ptr_equal(fake.st, &st);
}

static void test_a_method_called_register_has_its_own_stub(void **state)
{
    (void)state;
    MyPkg__V1Beta__HTTPStuff__GetURLNow request = MY_PKG__V1_BETA__HTTPSTUFF__GET_URLNOW__INIT;
    assert_int_equal(my_pkg_v1_beta_http_stuff_http_server_register_(CHANNEL, NULL, &request, NULL, NULL),
                     NRPC_OK);
    assert_string_equal(fake.method->name, HTTP "Register");
}

static void test_reply_ends_the_call(void **state)
{
    (void)state;
    Shop__V1__CreateResponse response = SHOP__V1__CREATE_RESPONSE__INIT;
    shop_v1_order_service_create_reply(CALL, &response);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.call, CALL);
    assert_ptr_equal(fake.reply, &response);
}

// ---------------------------------------------------------------- stubs

static void test_blocking_stub(void **state)
{
    (void)state;
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    Shop__V1__CreateResponse answer = SHOP__V1__CREATE_RESPONSE__INIT, *response = NULL;
    struct nrpc_call_options options = {.timeout_ms = 5};
    struct nrpc_status st;
    fake.response = &answer.base;
    assert_int_equal(shop_v1_order_service_create(CHANNEL, &options, &request, &response, &st), NRPC_OK);
    assert_ptr_equal(response, &answer);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.channel, CHANNEL);
    assert_ptr_equal(fake.method, &shop_v1_order_service.methods[SHOP_V1_ORDER_SERVICE_CREATE]);
    assert_ptr_equal(fake.options, &options);
    assert_ptr_equal(fake.request, &request);
    assert_ptr_equal(fake.st, &st);
}

static void test_blocking_stub_on_failure_leaves_no_response(void **state)
{
    (void)state;
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    Shop__V1__CreateResponse answer = SHOP__V1__CREATE_RESPONSE__INIT, *response = &answer;
    fake.code = NRPC_UNAVAILABLE;
    assert_int_equal(shop_v1_order_service_create(CHANNEL, NULL, &request, &response, NULL),
                     NRPC_UNAVAILABLE);
    assert_null(response);
}

static void test_blocking_stub_without_interest_in_the_response(void **state)
{
    (void)state;
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    assert_int_equal(shop_v1_order_service_create(CHANNEL, NULL, &request, NULL, NULL), NRPC_OK);
    assert_false(fake.wants_response);
}

struct finished {
    int times, code;
    const Shop__V1__CreateResponse *response;
};

static void create_done(void *user, const struct nrpc_status *st, const Shop__V1__CreateResponse *response)
{
    struct finished *f = user;
    f->times++;
    f->code = st->code;
    f->response = response;
}

static void test_async_stub(void **state)
{
    (void)state;
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    Shop__V1__CreateResponse answer = SHOP__V1__CREATE_RESPONSE__INIT;
    struct nrpc_call_options options = {.timeout_ms = 5};
    struct finished f = {0};
    fake.response = &answer.base;
    shop_v1_audit_service_create_async(CHANNEL, &options, &request, create_done, &f);
    assert_int_equal(f.times, 1);
    assert_int_equal(f.code, NRPC_OK);
    assert_ptr_equal(f.response, &answer);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.channel, CHANNEL);
    assert_ptr_equal(fake.method, &shop_v1_audit_service.methods[SHOP_V1_AUDIT_SERVICE_CREATE]);
    assert_ptr_equal(fake.options, &options);
    assert_ptr_equal(fake.request, &request);
}

static void test_async_stub_on_failure(void **state)
{
    (void)state;
    Shop__V1__CreateRequest request = SHOP__V1__CREATE_REQUEST__INIT;
    struct finished f = {0};
    fake.code = NRPC_DEADLINE_EXCEEDED;
    shop_v1_order_service_create_async(CHANNEL, NULL, &request, create_done, &f);
    assert_int_equal(f.times, 1);
    assert_int_equal(f.code, NRPC_DEADLINE_EXCEEDED);
    assert_null(f.response);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_order_services, reset),
        cmocka_unit_test_setup(test_hard_names, reset),
        cmocka_unit_test_setup(test_service_without_methods, reset),
        cmocka_unit_test_setup(test_no_package, reset),
        cmocka_unit_test_setup(test_c_package, reset),
        cmocka_unit_test_setup(test_invoke_calls_the_handler, reset),
        cmocka_unit_test_setup(test_is_handled_looks_at_its_own_handler, reset),
        cmocka_unit_test_setup(test_reserved_words_get_an_underscore, reset),
        cmocka_unit_test_setup(test_register_adds_the_service, reset),
        cmocka_unit_test_setup(test_a_method_called_register_has_its_own_stub, reset),
        cmocka_unit_test_setup(test_reply_ends_the_call, reset),
        cmocka_unit_test_setup(test_blocking_stub, reset),
        cmocka_unit_test_setup(test_blocking_stub_on_failure_leaves_no_response, reset),
        cmocka_unit_test_setup(test_blocking_stub_without_interest_in_the_response, reset),
        cmocka_unit_test_setup(test_async_stub, reset),
        cmocka_unit_test_setup(test_async_stub_on_failure, reset),
    };
    return cmocka_run_group_tests_name("codegen stubs", tests, NULL, NULL);
}
