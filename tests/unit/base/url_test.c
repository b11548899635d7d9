// SPDX-License-Identifier: Apache-2.0
// url_test.c: addresses taken apart, and those that are none.
#include "base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_all_parts(void **state)
{
    (void)state;
    struct url u;
    assert_int_equal(
        url_parse("mysql://us%65r:p%40ss%3a%2F@one:1,[::1]:65535,three/da%20ta?socket=%2fx&empty=&a=b", &u,
                  NULL),
        0);
    assert_string_equal(u.scheme, "mysql");
    assert_string_equal(u.user, "user");
    assert_string_equal(u.password, "p@ss:/");
    assert_string_equal(u.path, "da ta");
    assert_int_equal(u.host_count, 3);
    assert_string_equal(u.hosts[0].name, "one");
    assert_int_equal(u.hosts[0].port, 1);
    assert_string_equal(u.hosts[1].name, "::1");
    assert_int_equal(u.hosts[1].port, 65535);
    assert_string_equal(u.hosts[2].name, "three");
    assert_int_equal(u.hosts[2].port, 0);
    assert_string_equal(url_query(&u, "socket"), "/x");
    assert_string_equal(url_query(&u, "empty"), "");
    assert_string_equal(url_query(&u, "a"), "b");
    assert_null(url_query(&u, "none"));
    url_fini(&u);
}

static void test_few_parts(void **state)
{
    (void)state;
    struct url u;
    assert_int_equal(url_parse("redis+unix:///var/run/redis?db=3", &u, NULL), 0);
    assert_true(!u.user && !u.password && u.host_count == 0);
    assert_string_equal(u.path, "var/run/redis");
    url_fini(&u);
    assert_int_equal(url_parse("a://@h", &u, NULL), 0);
    assert_string_equal(u.user, "");
    assert_null(u.password);
    assert_string_equal(u.path, "");
    url_fini(&u);
    url_fini(&u);
}

static void test_broken(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "host",
        "://host",
        "a://h:",
        "a://h:0",
        "a://h:65536",
        "a://h:1x",
        "a://h:+1",
        "a://,h",
        "a://h,",
        "a://[::1",
        "a://[::1]x",
        "a://[]",
        "a://%0@h",
        "a://%00@h",
        "a://u:%zz@h",
        "a://h/%",
        "a://h?x",
        "a://h?x=%1",
        "a://1,2,3,4,5,6,7,8,9",
        "a://h?1=1&2=2&3=3&4=4&5=5&6=6&7=7&8=8&9=9",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct url u;
        struct nrpc_status st;
        if (url_parse(bad[i], &u, &st) != NRPC_INVALID_ARGUMENT)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_null(strstr(st.text, "@"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_parts),
        cmocka_unit_test(test_few_parts),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
