// SPDX-License-Identifier: Apache-2.0
// reflection_test.c: services listed, files found by name and by whatever they declare, with what they
// import.
#include "fixture.h"

#include "nrpc/json/schema.h"
#include "nrpc/services/health.h"
#include "nrpc/services/reflection.h"
#include "nrpc/v1/reflection.nrpc.h"

#include <string.h>

static struct fixture f;

static int setup(void **state)
{
    struct nrpc_status st;
    f.is_local = *state != NULL;
    fixture_create(&f, NULL);
    assert_int_equal(nrpc_reflection_add(f.server, &st), NRPC_OK);
    fixture_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_destroy(&f);
    return 0;
}

static void test_list(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"sample.v1.Sample", "sample/v1/sample.proto"},
        {"sample.v1.Other", "sample/v1/sample.proto"},
        {"nrpc.v1.Reflection", "nrpc/v1/reflection.proto"},
    };
    Nrpc__V1__ListServicesRequest q = NRPC__V1__LIST_SERVICES_REQUEST__INIT;
    Nrpc__V1__ListServicesResponse *r;
    struct nrpc_status st;
    assert_int_equal(nrpc_v1_reflection_list_services(f.channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->n_services, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(r->services[i]->name, expected[i][0]);
        assert_string_equal(r->services[i]->file_name, expected[i][1]);
    }
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static int ask(Nrpc__V1__FileDescriptorsRequest__WhatCase what, const char *name,
               Nrpc__V1__FileDescriptorsResponse **r)
{
    Nrpc__V1__FileDescriptorsRequest q = NRPC__V1__FILE_DESCRIPTORS_REQUEST__INIT;
    struct nrpc_status st;
    q.what_case = what;
    q.symbol = (char *)name; // the same place as file_name
    return nrpc_v1_reflection_file_descriptors(f.channel, NULL, &q, r, &st);
}

static int ask_symbol(const char *name, Nrpc__V1__FileDescriptorsResponse **r)
{
    return ask(NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT_SYMBOL, name, r);
}

static int ask_file(const char *name, Nrpc__V1__FileDescriptorsResponse **r)
{
    return ask(NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT_FILE_NAME, name, r);
}

// What is sent is a schema by itself: every import is there, each once, and the file itself comes first.
static void check_files(Nrpc__V1__FileDescriptorsResponse *r, const char *name, size_t count)
{
    struct schema *schema;
    struct nrpc_status st;
    assert_int_equal(r->n_file_descriptors, count);
    assert_int_equal(schema_create(r->file_descriptors, count, &schema, &st), NRPC_OK);
    assert_int_equal(schema->file_count, count);
    schema_destroy(schema);
    // A descriptor begins with field 1, its name.
    assert_int_equal(r->file_descriptors[0].data[1], strlen(name));
    assert_memory_equal(r->file_descriptors[0].data + 2, name, strlen(name));
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void test_symbols(void **state)
{
    (void)state;
    static const struct {
        const char *symbol, *file;
        size_t count;
    } cases[] = {
        {"sample.v1.Sample", "sample/v1/sample.proto", 3},
        {"sample.v1.Sample.Make", "sample/v1/sample.proto", 3},
        {"sample.v1.Other.Make", "sample/v1/sample.proto", 3},
        {"sample.v1.Thing", "sample/v1/sample.proto", 3},
        {"sample.v1.Thing.color", "sample/v1/sample.proto", 3},
        {"sample.v1.Thing.Inner", "sample/v1/sample.proto", 3},
        {"sample.v1.Thing.Inner.Innermost", "sample/v1/sample.proto", 3},
        {"sample.v1.Thing.Inner.Innermost.depth", "sample/v1/sample.proto", 3},
        {"sample.v1.Color", "sample/v1/sample.proto", 3},
        {"sample.v1.Part", "sample/v1/part.proto", 2},
        {"google.protobuf.Timestamp", "google/protobuf/timestamp.proto", 1},
        {"nrpc.v1.Reflection.ListServices", "nrpc/v1/reflection.proto", 1},
    };
    Nrpc__V1__FileDescriptorsResponse *r;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ask_symbol(cases[i].symbol, &r), NRPC_OK);
        check_files(r, cases[i].file, cases[i].count);
    }
}

static void test_not_symbols(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        ".",
        "sample",
        "sample.v1",
        "sample.v1.",
        ".sample.v1.Thing",
        "sample.v1.Thin",
        "sample.v1.Things",
        "sample.v1.Thing.",
        "sample.v1.Thing.none",
        "sample.v1.Sample.Makes",
        "sample.v1.Sample.Make.x",
        "sample.v1.sample",
        "Thing",
        "nrpc.v1.Health",
        "sample.v1.Thing.Inner.Innermost.depth.depth",
    };
    Nrpc__V1__FileDescriptorsResponse *r;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(ask_symbol(names[i], &r), NRPC_NOT_FOUND);
}

static void test_files(void **state)
{
    (void)state;
    Nrpc__V1__FileDescriptorsResponse *r;
    assert_int_equal(ask_file("sample/v1/sample.proto", &r), NRPC_OK);
    check_files(r, "sample/v1/sample.proto", 3);
    assert_int_equal(ask_file("sample/v1/part.proto", &r), NRPC_OK);
    check_files(r, "sample/v1/part.proto", 2);
    assert_int_equal(ask_file("google/protobuf/timestamp.proto", &r), NRPC_OK);
    check_files(r, "google/protobuf/timestamp.proto", 1);
    assert_int_equal(ask_file("sample/v1", &r), NRPC_NOT_FOUND);
    assert_int_equal(ask_file("", &r), NRPC_NOT_FOUND);
    assert_int_equal(ask_file("sample.v1.Sample", &r), NRPC_NOT_FOUND);
    assert_int_equal(ask(NRPC__V1__FILE_DESCRIPTORS_REQUEST__WHAT__NOT_SET, NULL, &r), NRPC_INVALID_ARGUMENT);
}

// A service that was added later, and one that has no file.
static void test_added_later(void **state)
{
    f.is_local = *state != NULL;
    struct nrpc_status st;
    struct nrpc_health *health = nrpc_health_create();
    struct nrpc_service bare = {"bare.Bare", NULL, 0, NULL};
    Nrpc__V1__FileDescriptorsResponse *r;
    Nrpc__V1__ListServicesRequest q = NRPC__V1__LIST_SERVICES_REQUEST__INIT;
    Nrpc__V1__ListServicesResponse *list;
    fixture_create(&f, NULL);
    assert_int_equal(nrpc_reflection_add(f.server, &st), NRPC_OK);
    assert_int_equal(nrpc_health_add(health, f.server, &st), NRPC_OK);
    assert_int_equal(nrpc_server_add(f.server, &bare, NRPC_INLINE, NULL, NULL, &st), NRPC_OK);
    fixture_open(&f);
    assert_int_equal(ask_symbol("nrpc.v1.Health", &r), NRPC_OK);
    check_files(r, "nrpc/v1/health.proto", 1);
    assert_int_equal(ask_symbol("bare.Bare", &r), NRPC_NOT_FOUND);
    assert_int_equal(nrpc_v1_reflection_list_services(f.channel, NULL, &q, &list, &st), NRPC_OK);
    assert_int_equal(list->n_services, 5);
    assert_string_equal(list->services[4]->name, "bare.Bare");
    assert_string_equal(list->services[4]->file_name, "");
    protobuf_c_message_free_unpacked(&list->base, NULL);
    fixture_destroy(&f);
    nrpc_health_destroy(health);
}

int main(void)
{
    static char local;
#define TCP(test)                                                                                            \
    {                                                                                                        \
#test " tcp", test, setup, teardown, NULL                                                            \
    }
#define LOCAL(test)                                                                                          \
    {                                                                                                        \
#test " local", test, setup, teardown, &local                                                        \
    }
    const struct CMUnitTest tests[] = {
        TCP(test_list),      LOCAL(test_list),      TCP(test_symbols),
        LOCAL(test_symbols), TCP(test_not_symbols), LOCAL(test_not_symbols),
        TCP(test_files),     LOCAL(test_files),     {"test_added_later", test_added_later, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests_name("services/reflection", tests, NULL, NULL);
}
