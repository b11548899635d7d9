// SPDX-License-Identifier: Apache-2.0
// treesize_test.c: the total is what du says, of any tree, whatever is killed.
#include "treesize/treesize.h"

#include "host.h"
#include "tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tree tree;
static struct host host;

static int set_up(void **state)
{
    (void)state;
    tree_create(&tree);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    host_fini(&host);
    tree_destroy(&tree);
    return 0;
}

static void start_host(int measure)
{
    Examples__Treesize__V1__Task t = EXAMPLES__TREESIZE__V1__TASK__INIT;
    t.root = (ProtobufCBinaryData){strlen(tree.root), (uint8_t *)tree.root};
    t.report = (ProtobufCBinaryData){strlen(tree.output), (uint8_t *)tree.output};
    t.measure = (Examples__Treesize__V1__Measure)measure;
    host_init(&host, &dtf_plugin_v1.types[0], &t.base);
}

// Which of the two ways of --apparent-size this machine's du has: an empty directory has a size, or none.
static int apparent_measure(void)
{
    size_t size;
    tree_run(&tree, "mkdir ../empty && du -sB1 --apparent-size ../empty && rmdir ../empty", tree.output);
    char *text = tree_read(tree.output, &size);
    bool has_size = strtoull(text, NULL, 10) > 0;
    free(text);
    return has_size ? EXAMPLES__TREESIZE__V1__MEASURE__APPARENT_SIZE
                    : EXAMPLES__TREESIZE__V1__MEASURE__APPARENT_FILE_SIZE;
}

static void assert_same_as_du(int measure, const char *du)
{
    char command[256], expected[160];
    start_host(measure);
    host_generate(&host, 0);
    host_run(&host, 2);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    snprintf(command, sizeof command, "%s '%s'", du, tree.root);
    snprintf(expected, sizeof expected, "%s/expected", tree.top);
    tree_run(&tree, command, expected);
    tree_assert_same(tree.output, expected);
    host_fini(&host);
    host = (struct host){0};
}

static void assert_both_same_as_du(void)
{
    assert_same_as_du(EXAMPLES__TREESIZE__V1__MEASURE__DISK_USAGE, "du -sB1");
    assert_same_as_du(apparent_measure(), "du -sB1 --apparent-size");
}

static void test_all_kinds_of_names(void **state)
{
    (void)state;
    tree_fill(&tree);
    assert_both_same_as_du();
}

static void test_empty_directories(void **state)
{
    (void)state;
    assert_both_same_as_du();
    tree_directory(&tree, "one/two/three/four");
    tree_directory(&tree, "one/two/other");
    assert_both_same_as_du();
}

static void test_hard_links(void **state)
{
    (void)state;
    tree_file(&tree, "a/file", 100000);
    tree_file(&tree, "single", 3000);
    tree_directory(&tree, "b/c");
    tree_run(&tree, "ln a/file a/again; ln a/file b/c/third; ln a/file top", NULL);
    tree_run(&tree, "ln -s x a/link; ln a/link b/link; ln a/file ../outside; ln single ../outside2", NULL);
    assert_both_same_as_du();
}

static void test_sparse_files(void **state)
{
    (void)state;
    tree_run(&tree, "truncate -s 10M hole; truncate -s 1G huge; printf x | dd of=middle bs=1 seek=5000000",
             NULL);
    assert_both_same_as_du();
}

// More sub-directories and links than one result has room for.
static void test_large_directory(void **state)
{
    (void)state;
    tree_run(&tree,
             "seq -f 'wide/a long name to use up the room, and a number behind it %06.0f' 6000 | xargs -d "
             "'\\n' mkdir -p",
             NULL);
    tree_run(&tree, "seq -f 'wide/f%05.0f' 5000 | xargs touch; echo x >wide/x; cp -lr wide/x wide/y", NULL);
    tree_run(
        &tree,
        "mkdir copy; for f in wide/f*; do echo copy/${f#wide/}; done | xargs touch; cp -alf wide/f* copy",
        NULL);
    start_host(0);
    host_generate(&host, 0);
    host_run(&host, 1);
    assert_true(host.count > 6003); // the parts of `wide`
    host_fini(&host);
    assert_both_same_as_du();
}

static void test_vanished_and_failed(void **state)
{
    (void)state;
    size_t size;
    struct host_result r;
    tree_directory(&tree, "a");
    tree_directory(&tree, "b");
    start_host(0);
    host_generate(&host, 0);
    assert_int_equal(host_execute(&host, 0, false, &r), NRPC_OK);
    assert_true(host_collect(&host, 0, &r, true));
    host_result_fini(&r);
    assert_int_equal(host.count, 3);
    tree_remove(&tree, "a"); // it did exist: its own size stays counted
    assert_int_equal(host_execute(&host, 1, false, &r), NRPC_OK);
    assert_true(host_collect(&host, 1, &r, true));
    host_result_fini(&r);
    r = (struct host_result){.result = {.kind = DTF_RESULT_LOST}};
    assert_true(host_collect(&host, 2, &r, true));
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    char errors[160];
    snprintf(errors, sizeof errors, "%s.errors", tree.output);
    char *text = tree_read(errors, &size);
    assert_string_equal(text, "b: lost with its node, too often\n");
    free(text);
}

static void test_generator_resumes(void **state)
{
    (void)state;
    start_host(0);
    assert_int_equal(host_begin(&host), NRPC_OK);
    host_save(&host);
    assert_int_equal(host.saved.size, 0);
    host_end(&host);
    assert_int_equal(host_begin(&host), NRPC_OK);
    assert_false(host_next(&host)); // it was the last
    host_save(&host);
    host_end(&host);
    assert_int_equal(host_begin(&host), NRPC_OK);
    assert_false(host_next(&host));
    host_end(&host);
    assert_int_equal(host.count, 1);
}

static void test_refuses(void **state)
{
    (void)state;
    struct host_result r;
    start_host(3);
    assert_int_equal(host_begin(&host), NRPC_INVALID_ARGUMENT);
    host_fini(&host);
    snprintf(tree.output, sizeof tree.output, "relative");
    start_host(0);
    assert_int_equal(host_begin(&host), NRPC_INVALID_ARGUMENT);
    host_fini(&host);
    snprintf(tree.output, sizeof tree.output, "%s/output", tree.top);
    start_host(0);
    host_generate(&host, 0);
    tree_file(&tree, "x", 1);
    assert_int_equal(host_execute(&host, 0, true, &r), NRPC_CANCELLED);
    tree_run(&tree, "mv ../tree ../elsewhere", NULL);
    assert_int_equal(host_execute(&host, 0, false, &r), NRPC_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_kinds_of_names), TEST(empty_directories),   TEST(hard_links),        TEST(sparse_files),
        TEST(large_directory),    TEST(vanished_and_failed), TEST(generator_resumes), TEST(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
