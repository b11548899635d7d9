// SPDX-License-Identifier: Apache-2.0
// names_test.c: name mangling, one table a function. protobuf-c's side was read off protoc-c 1.4.1's output.
#include "names.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct mangling {
    const char *from, *to;
};

static void check(char *(*mangle)(struct arena *, const char *), const struct mangling *table, size_t count)
{
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(mangle(&a, table[i].from), table[i].to);
    arena_fini(&a);
}

#define CHECK(mangle, ...)                                                                                   \
    do {                                                                                                     \
        const struct mangling table[] = {__VA_ARGS__};                                                       \
        check(mangle, table, sizeof table / sizeof table[0]);                                                \
    } while (0)

static void test_pbc_type(void **state)
{
    (void)state;
    CHECK(names_pbc_type, {"dtf.v1.CreateRequest", "Dtf__V1__CreateRequest"}, {"M", "M"},
          {"a_b.c_d_.x", "AB__CD__X"},
          {"my_pkg.HTTPStuff.fooBar_baz.Inner_one", "MyPkg__HTTPStuff__FooBarBaz__InnerOne"}, {".M", "M"},
          {"", ""});
}

static void test_pbc_lower(void **state)
{
    (void)state;
    CHECK(names_pbc_lower, {"dtf.v1.CreateRequest", "dtf__v1__create_request"}, {"M", "m"},
          {"HTTPStuff.HTTPServer2Req", "httpstuff__httpserver2_req"},
          {"fooBar_baz.Inner_one", "foo_bar_baz__inner_one"}, {"x.GetURLNow", "x__get_urlnow"}, {".M", "m"});
}

static void test_snake(void **state)
{
    (void)state;
    CHECK(names_snake, {"dtf.v1.TaskService", "dtf_v1_task_service"}, {"HTTPServer", "http_server"},
          {"GetURL", "get_url"}, {"GetURLNow", "get_url_now"}, {"ListIDs", "list_ids"},
          {"ListIDsOf", "list_ids_of"}, {"get_URL", "get_url"}, {"HTTP2Server", "http2_server"},
          {"V1Beta", "v1_beta"}, {"MD5Sum", "md5_sum"}, {"AsIs", "as_is"}, {"A", "a"},
          {"already_snake", "already_snake"}, {"_x", "_x"}, {"IsOK", "is_ok"});
}

static void test_stem(void **state)
{
    (void)state;
    CHECK(names_pbc_stem, {"a/b.proto", "a/b"}, {"a.protodevel", "a"}, {"a.b", "a.b"},
          {"x.proto.proto", "x.proto"});
}

static void test_guard(void **state)
{
    (void)state;
    CHECK(names_guard, {"a/b", "NRPC_a_2fb_INCLUDED"}, {"a_b", "NRPC_a_5fb_INCLUDED"},
          {"\xc3\xa4", "NRPC__c3_a4_INCLUDED"});
}

static void test_reserved(void **state)
{
    (void)state;
    assert_true(names_is_reserved("register"));
    assert_true(names_is_reserved("unix"));
    assert_true(names_is_reserved("bool"));
    assert_false(names_is_reserved("delete"));
    assert_false(names_is_reserved(""));
}

static void test_long_lines_break_under_their_bracket(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct text t = {.arena = &a};
    const struct text_var vars[] = {{"name", "a_name_of_some_forty_characters_for_a_parameter"},
                                    {NULL, NULL}};
    text_expand(&t, vars, "f(int $name$, int $name$, g(int b, int $name$)); // $name$\n");
    assert_string_equal(t.at, "f(int a_name_of_some_forty_characters_for_a_parameter, "
                              "int a_name_of_some_forty_characters_for_a_parameter,\n"
                              "  g(int b,\n"
                              "    int a_name_of_some_forty_characters_for_a_parameter)); "
                              "// a_name_of_some_forty_characters_for_a_parameter\n");
    arena_fini(&a);
}

static void test_comments_cannot_reach_the_next_line(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    struct text t = {.arena = &a};
    text_comment(&t, "  ", "\n one \\\n\ntwo ?\?/\\ \r\n \\\n\n");
    text_comment(&t, "  ", NULL);
    assert_string_equal(t.at, "  // one\n  //\n  // two\n");
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pbc_type),
        cmocka_unit_test(test_pbc_lower),
        cmocka_unit_test(test_snake),
        cmocka_unit_test(test_stem),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_long_lines_break_under_their_bracket),
        cmocka_unit_test(test_comments_cannot_reach_the_next_line),
    };
    return cmocka_run_group_tests_name("codegen names", tests, NULL, NULL);
}
