// SPDX-License-Identifier: Apache-2.0
// template_test.c: items get into commands at every {}, or at the end.
#include "template.h"

#include "dtf.h"
#include "dtf/v1/command.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

// The arguments that come out, each with a '|' behind it.
static char *filled(size_t count, char *const *args, const char *item, size_t item_bytes)
{
    struct template t;
    struct arena a;
    const void *packed;
    size_t bytes, size;
    struct nrpc_status st;
    char *text;
    arena_init(&a, 0);
    template_init(&t, count, args);
    t.max_output_bytes = 7;
    t.timeout_ms = 8;
    if (template_pack(&t, item, item_bytes, &a, &packed, &bytes, &st))
        fail_msg("%s", st.text);
    Dtf__V1__Command *c = dtf__v1__command__unpack(NULL, bytes, packed);
    assert_non_null(c);
    assert_int_equal(c->max_output_bytes, 7);
    assert_int_equal(c->timeout_ms, 8);
    FILE *f = open_memstream(&text, &size);
    for (size_t i = 0; i < c->n_argv; i++) {
        fwrite(c->argv[i].data, 1, c->argv[i].len, f);
        fputc('|', f);
    }
    fclose(f);
    dtf__v1__command__free_unpacked(c, NULL);
    arena_fini(&a);
    return text;
}

#define ASSERT_FILLED(item, expected, ...)                                                                   \
    do {                                                                                                     \
        char *const args[] = {__VA_ARGS__};                                                                  \
        char *text = filled(LENGTH(args), args, item, strlen(item));                                         \
        assert_string_equal(text, expected);                                                                 \
        free(text);                                                                                          \
    } while (0)

static void an_item_takes_its_places(void **state)
{
    (void)state;
    ASSERT_FILLED("x y", "echo|x y|", "echo");
    ASSERT_FILLED("x", "echo|a|x|", "echo", "a");
    ASSERT_FILLED("x", "echo|x|a|", "echo", "{}", "a");
    ASSERT_FILLED("xyz", "echo|<xyz>-xyz|", "echo", "<{}>-{}");
    ASSERT_FILLED("", "echo|ab|", "echo", "a{}b");
    ASSERT_FILLED("x", "x|x|", "{}", "{}");
    ASSERT_FILLED("{}", "echo|{}{}|", "echo", "{}{}"); // what comes in is not looked into
    ASSERT_FILLED("x", "echo|{x}|", "echo", "{{}}");
    ASSERT_FILLED("x", "echo|{|}|{ }|x|", "echo", "{", "}", "{ }");
    ASSERT_FILLED("\n\xff'\"$(rm)", "echo|\n\xff'\"$(rm)|", "echo");
}

static void without_an_item_nothing_is_put_in(void **state)
{
    (void)state;
    char *const args[] = {"echo", "{}"};
    char *text = filled(2, args, NULL, 0);
    assert_string_equal(text, "echo|{}|");
    free(text);
}

static void too_long_a_command_is_refused(void **state)
{
    (void)state;
    char *const many[] = {"echo", "{}{}{}"}, *const one[] = {"echo"};
    size_t bytes, size = 128 * 1024;
    const void *packed;
    char *item = calloc(1, size);
    struct template t;
    struct nrpc_status st;
    struct arena a;
    arena_init(&a, 0);
    memset(item, 'x', size);
    template_init(&t, 2, many);
    assert_int_equal(template_pack(&t, item, size, &a, &packed, &bytes, &st), NRPC_INVALID_ARGUMENT);
    assert_string_equal(st.text, "the command is longer than 262144 bytes");
    template_init(&t, 1, one);
    assert_int_equal(template_pack(&t, item, size, &a, &packed, &bytes, &st), NRPC_OK);
    assert_true(bytes > size && bytes <= DTF_SUBTASK_PARAM_MAX);
    // Just at the limit by its arguments, beyond it by what goes around them.
    char *const two[] = {"", "{}{}"};
    template_init(&t, 2, two);
    assert_int_equal(template_pack(&t, item, size - 2, &a, &packed, &bytes, &st), NRPC_INVALID_ARGUMENT);
    arena_fini(&a);
    free(item);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_takes_its_places),
        cmocka_unit_test(without_an_item_nothing_is_put_in),
        cmocka_unit_test(too_long_a_command_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
