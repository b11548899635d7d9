// SPDX-License-Identifier: Apache-2.0
// checksum_test.c: the generator resumes at any checkpoint; the manifest is what sha256sum prints, whatever
// is killed.
#include "checksum/checksum.h"

#include "host.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define LIST_FILES "find . -type f -printf '%P\\0' | sort -z"

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

static void start_host(uint32_t files_per_subtask, const char *manifest)
{
    Examples__Checksum__V1__Task t = EXAMPLES__CHECKSUM__V1__TASK__INIT;
    t.root = (ProtobufCBinaryData){strlen(tree.root), (uint8_t *)tree.root};
    t.manifest = (ProtobufCBinaryData){strlen(manifest), (uint8_t *)manifest};
    t.files_per_subtask = files_per_subtask;
    host_init(&host, &dtf_plugin_v1.types[0], &t.base);
}

static void restart_host(uint32_t files_per_subtask)
{
    host_fini(&host);
    start_host(files_per_subtask, tree.output);
}

static Examples__Checksum__V1__Subtask *unpack(size_t index)
{
    Examples__Checksum__V1__Subtask *s = examples__checksum__v1__subtask__unpack(
        NULL, host.subtasks[index].param_bytes, host.subtasks[index].param);
    assert_non_null(s);
    return s;
}

// Writes the generated paths, NUL-terminated, to a file.
static void write_generated(const char *path)
{
    FILE *f = fopen(path, "w");
    for (size_t i = 0; i < host.count; i++) {
        Examples__Checksum__V1__Subtask *s = unpack(i);
        for (size_t k = 0; k < s->n_items; k++) {
            fwrite(s->items[k]->path.data, 1, s->items[k]->path.len, f);
            putc(0, f);
        }
        examples__checksum__v1__subtask__free_unpacked(s, NULL);
    }
    fclose(f);
}

static const char *top_path(const char *name)
{
    static char paths[2][160];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", tree.top, name);
    return paths[turn];
}

static void assert_generated_all(void)
{
    write_generated(top_path("generated"));
    tree_run(&tree, LIST_FILES, top_path("expected"));
    tree_assert_same(top_path("generated"), top_path("expected"));
}

// Compares the manifest with what sha256sum prints, and has sha256sum check it.
static void assert_manifest(void)
{
    tree_run(&tree, LIST_FILES " | xargs -0 sha256sum --", top_path("expected"));
    tree_assert_same(tree.output, top_path("expected"));
    tree_run(&tree, "sha256sum -c --quiet --strict ../output", NULL);
}

// ---- the generator

static void test_resumes_anywhere(void **state)
{
    (void)state;
    tree_fill(&tree);
    start_host(0, tree.output);
    for (uint32_t files = 1; files <= 40; files += files < 5 ? 1 : 7)
        for (unsigned steps = 0; steps < 4; steps++) {
            restart_host(files);
            host_generate(&host, steps);
            assert_generated_all();
        }
}

// Files come and go behind and before the checkpoint: those that stay are given once.
static void test_tree_changes(void **state)
{
    (void)state;
    static const char *const changes[] = {"A early", "a/deep/early", "zz late", "z/y/x/late"};
    tree_fill(&tree);
    start_host(2, tree.output);
    for (size_t stop = 1; stop < 12; stop++) {
        restart_host(2);
        assert_int_equal(host_begin(&host), NRPC_OK);
        for (size_t i = 0; i < stop; i++)
            assert_true(host_next(&host));
        host_save(&host);
        host_end(&host);
        for (size_t i = 0; i < 4; i++)
            tree_file(&tree, changes[i], 1);
        host_generate(&host, 1);
        write_generated(top_path("generated"));
        tree_run(&tree, "tr '\\0\\n' '\\n\\0' <../generated | sort | uniq -d | wc -l", top_path("repeated"));
        size_t size;
        char *repeated = tree_read(top_path("repeated"), &size);
        assert_string_equal(repeated, "0\n");
        free(repeated);
        for (size_t i = 0; i < 4; i++)
            tree_remove(&tree, changes[i]);
        tree_run(&tree, LIST_FILES " >../all; sort -z ../generated | comm -z -13 - ../all",
                 top_path("skipped"));
        free(tree_read(top_path("skipped"), &size));
        assert_int_equal(size, 0);
    }
}

// The file at which it stopped, and its directory, may be gone.
static void test_checkpoint_vanished(void **state)
{
    (void)state;
    tree_file(&tree, "a/1", 1);
    tree_file(&tree, "b/2", 1);
    tree_file(&tree, "c/3", 1);
    start_host(1, tree.output);
    assert_int_equal(host_begin(&host), NRPC_OK);
    assert_true(host_next(&host) && host_next(&host));
    host_save(&host);
    host_end(&host);
    tree_remove(&tree, "b/2");
    tree_remove(&tree, "b");
    host_generate(&host, 0);
    assert_int_equal(host.count, 3);
}

static void test_limits_of_a_subtask(void **state)
{
    (void)state;
    char name[300];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "long/%0220d", i);
        tree_file(&tree, name, 0);
    }
    start_host(500, tree.output);
    host_generate(&host, 1);
    assert_true(host.count > 2); // by the paths' length, then
    assert_generated_all();
    host_run(&host, 1);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    assert_manifest();
}

static void test_skips_its_own_files(void **state)
{
    (void)state;
    char manifest[PATH_MAX];
    snprintf(manifest, sizeof manifest, "%s", tree_path(&tree, "sub/SHA256SUMS"));
    tree_file(&tree, "sub/SHA256SUMS", 5);
    tree_file(&tree, "sub/SHA256SUMS.errors", 5);
    tree_file(&tree, "sub/SHA256SUMS.old", 5);
    tree_file(&tree, "one", 5);
    start_host(1, manifest);
    host_generate(&host, 0);
    assert_int_equal(host.count, 2);
}

static void test_progress(void **state)
{
    (void)state;
    tree_fill(&tree);
    start_host(1, tree.output);
    assert_int_equal(host_begin(&host), NRPC_OK);
    int before = 0;
    while (host_next(&host)) {
        int now = host.type->generator->query_progress(host.state);
        assert_true(now >= before && now <= 100);
        before = now;
    }
    assert_int_equal(host.type->generator->query_progress(host.state), 100);
    host_end(&host);
}

static void assert_refused(const char *root, const char *manifest, uint32_t files, int code)
{
    Examples__Checksum__V1__Task t = EXAMPLES__CHECKSUM__V1__TASK__INIT;
    t.root = (ProtobufCBinaryData){strlen(root), (uint8_t *)root};
    t.manifest = (ProtobufCBinaryData){strlen(manifest), (uint8_t *)manifest};
    t.files_per_subtask = files;
    host_fini(&host);
    host_init(&host, &dtf_plugin_v1.types[0], &t.base);
    assert_int_equal(host_begin(&host), code);
    assert_true(*host.st.text);
}

static void test_refuses(void **state)
{
    (void)state;
    start_host(0, tree.output);
    assert_refused("", tree.output, 0, NRPC_INVALID_ARGUMENT);
    assert_refused("relative", tree.output, 0, NRPC_INVALID_ARGUMENT);
    assert_refused(tree.root, "relative", 0, NRPC_INVALID_ARGUMENT);
    assert_refused(tree.root, tree.output, 501, NRPC_INVALID_ARGUMENT);
    assert_refused(tree.root, "/nowhere/at/all", 0, NRPC_NOT_FOUND);
    assert_refused("/nowhere/at/all", tree.output, 0, NRPC_NOT_FOUND);
    host.task.param = "\xff\xff";
    host.task.param_bytes = 2;
    assert_int_equal(host_begin(&host), NRPC_INVALID_ARGUMENT);
}

// ---- executor and collector

static void test_manifest(void **state)
{
    (void)state;
    tree_fill(&tree);
    start_host(3, tree.output);
    host_generate(&host, 2);
    host_run(&host, 2);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    assert_manifest();
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK); // again: the spool is gone
    assert_manifest();
    assert_int_equal(tree_count_top(&tree), 3); // tree, output, expected
}

static void test_empty_tree(void **state)
{
    (void)state;
    size_t size;
    start_host(0, tree.output);
    host_generate(&host, 0);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    free(tree_read(tree.output, &size));
    assert_int_equal(size, 0);
}

static void test_file_called_dash(void **state)
{
    (void)state;
    tree_file(&tree, "-", 10);
    start_host(0, tree.output);
    host_generate(&host, 0);
    host_run(&host, 1);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    tree_run(&tree, "sha256sum -c --quiet --strict ../output </dev/null", NULL);
}

static void test_reports_what_it_cannot_read(void **state)
{
    (void)state;
    static const char *const names[] = {"gone\n", "now a link", "now a fifo", "now beyond/x", "stays"};
    for (size_t i = 0; i < 5; i++)
        tree_file(&tree, names[i], 10);
    start_host(0, tree.output);
    host_generate(&host, 0);
    for (size_t i = 0; i < 4; i++)
        tree_remove(&tree, names[i]);
    tree_remove(&tree, "now beyond");
    assert_int_equal(symlink("stays", tree_path(&tree, "now a link")), 0);
    assert_int_equal(symlink("/etc", tree_path(&tree, "now beyond")), 0);
    assert_int_equal(mkfifo(tree_path(&tree, "now a fifo"), 0600), 0);
    host_run(&host, 1);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    tree_run(&tree, "sha256sum stays", top_path("expected"));
    tree_assert_same(tree.output, top_path("expected"));
    size_t size;
    char *errors = tree_read(top_path("output.errors"), &size);
    assert_string_equal(errors, "gone\\n: No such file or directory\n"
                                "now a fifo: no regular file any more\n"
                                "now a link: Too many levels of symbolic links\n"
                                "now beyond/x: Too many levels of symbolic links\n");
    free(errors);
}

// What the coordinator does when it is killed, at each place.
static void test_killed_while_collecting(void **state)
{
    (void)state;
    struct host_result r;
    tree_fill(&tree);
    start_host(2, tree.output);
    host_generate(&host, 0);
    for (size_t i = 0; i < host.count; i++) { // each result comes, is torn, comes again
        assert_int_equal(host_execute(&host, i, false, &r), NRPC_OK);
        assert_true(host_collect(&host, i, &r, false));
        tree_run(&tree, "head -c 30 ../output.7.spool >../torn; cat ../torn >>../output.7.spool", NULL);
        assert_true(host_collect(&host, i, &r, true));
        host_result_fini(&r);
    }
    tree_run(&tree, "cp ../output.7.spool ../kept", NULL);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    tree_run(&tree, "mv ../kept ../output.7.spool",
             NULL); // as if it had been killed before the spool was removed
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    assert_int_equal(tree_count_top(&tree), 3); // tree, output, torn
    assert_manifest();
}

static void test_results_lost(void **state)
{
    (void)state;
    tree_fill(&tree);
    start_host(2, tree.output);
    host_generate(&host, 0);
    host_run(&host, 1);
    struct dtf_task_summary summary = {
        .outcome = "completed", .generated = host.count + 1, .succeeded = host.count + 1};
    const struct dtf_collector_callback *collector = host.type->collector;
    assert_int_equal(collector->after_task_completed(NULL, &host.task, &summary, &host.st), NRPC_DATA_LOSS);
    assert_false(tree_exists(tree.output));
    summary.succeeded--; // one that did not succeed may have left nothing: that is said
    assert_int_equal(collector->after_task_completed(NULL, &host.task, &summary, &host.st), NRPC_OK);
    assert_manifest();
    tree_run(&tree, "echo '1 subtasks ended without a result'", top_path("expected"));
    tree_assert_same(top_path("output.errors"), top_path("expected"));
    assert_int_equal(unlink(tree.output), 0);
    assert_int_equal(host_complete(&host, "completed"), NRPC_NOT_FOUND);
}

static void test_failed_subtask(void **state)
{
    (void)state;
    tree_file(&tree, "one", 1);
    tree_file(&tree, "two", 2);
    start_host(1, tree.output);
    host_generate(&host, 0);
    struct host_result r = {.result = {.kind = DTF_RESULT_TIMEOUT, .message = ""}};
    assert_true(host_collect(&host, 0, &r, true));
    host_execute(&host, 1, false, &r);
    host_collect(&host, 1, &r, true);
    host_result_fini(&r);
    assert_int_equal(host_complete(&host, "completed"), NRPC_OK);
    tree_run(&tree, "sha256sum two", top_path("expected"));
    tree_assert_same(tree.output, top_path("expected"));
    tree_run(&tree, "echo 'one: timed out'", top_path("expected"));
    tree_assert_same(top_path("output.errors"), top_path("expected"));
}

static void test_other_outcomes(void **state)
{
    (void)state;
    static const char *const outcomes[] = {"cancelled", "failed", "timed_out"};
    tree_fill(&tree);
    start_host(0, tree.output);
    for (size_t i = 0; i < 3; i++) {
        restart_host(0);
        host_generate(&host, 0);
        host_run(&host, 1);
        assert_int_equal(tree_count_top(&tree), 2); // tree, spool
        assert_int_equal(host_complete(&host, outcomes[i]), NRPC_OK);
        assert_int_equal(tree_count_top(&tree), 1);
    }
}

static void test_cancel_and_bad_subtask(void **state)
{
    (void)state;
    struct host_result r;
    tree_fill(&tree);
    start_host(500, tree.output);
    host_generate(&host, 0);
    assert_int_equal(host_execute(&host, 0, true, &r), NRPC_CANCELLED);
    assert_null(r.body);
    tree_run(&tree, "mv ../tree ../elsewhere && mkdir ../tree && rmdir ../tree", NULL);
    assert_int_equal(host_execute(&host, 0, false, &r), NRPC_NOT_FOUND);
    memset(host.subtasks[0].param, 0xff, host.subtasks[0].param_bytes);
    assert_int_equal(host_execute(&host, 0, false, &r), NRPC_INVALID_ARGUMENT);
    assert_false(host_collect(&host, 0, &r, true)); // once more, please
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resumes_anywhere),
        TEST(tree_changes),
        TEST(checkpoint_vanished),
        TEST(limits_of_a_subtask),
        TEST(skips_its_own_files),
        TEST(progress),
        TEST(refuses),
        TEST(manifest),
        TEST(empty_tree),
        TEST(file_called_dash),
        TEST(reports_what_it_cannot_read),
        TEST(killed_while_collecting),
        TEST(results_lost),
        TEST(failed_subtask),
        TEST(other_outcomes),
        TEST(cancel_and_bad_subtask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
