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

static void test_pbc_member(void **state)
{
    (void)state;
    CHECK(names_pbc_member, {"item", "item"}, {"fooBar_Baz", "foobar_baz"}, {"delete", "delete_"},
          {"sizeOf", "sizeof_"}, {"wchar_t", "wchar_t_"}, {"restrict", "restrict"});
}

static void test_stem(void **state)
{
    (void)state;
    CHECK(names_pbc_stem, {"a/b.proto", "a/b"}, {"a.protodevel", "a"}, {"a.b", "a.b"},
          {"x.proto.proto", "x.proto"});
}

static void test_file(void **state)
{
    (void)state;
    CHECK(names_of_file, {"a/b", "a_2fb"}, {"a_b", "a_5fb"}, {"\xc3\xa4", "_c3_a4"}, {"", ""});
}

static void test_reserved(void **state)
{
    (void)state;
    assert_true(names_is_reserved("register"));
    assert_true(names_is_reserved("unix"));
    assert_true(names_is_reserved("bool"));
    assert_true(names_is_reserved("delete")); // C++ reads our headers, too
    assert_true(names_is_reserved("nullptr"));
    assert_true(names_is_reserved("export"));
    assert_false(names_is_word_of_c("export"));
    assert_true(names_is_word_of_c("typeof"));
    assert_true(names_is_word_of_c("xor_eq"));
    assert_false(names_is_reserved("create"));
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

static void test_long_comments_are_broken(void **state)
{
    (void)state;
    static const char fits[] = "One line of 110 columns, with the two slashes and the gap be"
                               "hind them, neither one more nor one less, xxxx.";
    struct arena a;
    arena_init(&a, 0);
    struct text t = {.arena = &a};
    text_comment(&t, "", fits);
    text_comment(&t, "", text_format(&a, "%s  more", fits));
    text_comment(&t, "", text_format(&a, " %.101s and more of it", fits));
    assert_string_equal(
        t.at, text_format(&a, "// %s\n// %s\n// more\n// %.101s and\n// more of it\n", fits, fits, fits));
    arena_fini(&a);
}

static void test_long_words_stay_whole(void **state)
{
    (void)state;
    static const char word[] =
        "https://example.org/a/word/that/is/longer/than/a/whole/line/of/the/generated/header/could/"
        "ever/hope/to/be/in/its/life";
    struct arena a;
    arena_init(&a, 0);
    struct text t = {.arena = &a};
    text_comment(&t, "    ", text_format(&a, "see %s and so on", word));
    assert_string_equal(t.at, text_format(&a, "    // see\n    // %s\n    // and so on\n", word));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pbc_type),
        cmocka_unit_test(test_pbc_lower),
        cmocka_unit_test(test_snake),
        cmocka_unit_test(test_pbc_member),
        cmocka_unit_test(test_stem),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_long_lines_break_under_their_bracket),
        cmocka_unit_test(test_comments_cannot_reach_the_next_line),
        cmocka_unit_test(test_long_comments_are_broken),
        cmocka_unit_test(test_long_words_stay_whole),
    };
    return cmocka_run_group_tests_name("codegen names", tests, NULL, NULL);
}
