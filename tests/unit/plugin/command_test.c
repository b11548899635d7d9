// SPDX-License-Identifier: Apache-2.0
// command_test.c: the task type "command", its execute called directly: what the program is given, what comes
// back, what is refused.
#include "command_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct outcome o;

static int teardown(void **state)
{
    (void)state;
    outcome_fini(&o);
    return 0;
}

static void check_out(const char *expected)
{
    assert_non_null(o.output);
    assert_int_equal(o.output->out.len, strlen(expected));
    if (*expected)
        assert_memory_equal(o.output->out.data, expected, strlen(expected));
}

static void test_argv(void **state)
{
    (void)state;
    static const char *const argv[] = {"printf",    "<%s>",     "a b",   "",  "it's \"quoted\"",
                                       "new\nline", "\xff\xfe", "$(id)", NULL};
    struct command_spec c = {.argv = argv};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    assert_int_equal(o.code, 0);
    check_out("<a b><><it's \"quoted\"><new\nline><\xff\xfe><$(id)>");
    assert_int_equal(o.output->err.len, 0);
    assert_false(o.output->out_cut);
    assert_false(o.output->err_cut);
}

static void test_shell(void **state)
{
    (void)state;
    static const char *const argv[] = {"echo \"$0 $# $1\"; echo oops >&2", "one", NULL};
    struct command_spec c = {.argv = argv, .shell = true};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    check_out("echo \"$0 $# $1\"; echo oops >&2 1 one\n");
    assert_memory_equal(o.output->err.data, "oops\n", 5);
}

static void test_env(void **state)
{
    (void)state;
    setenv("DTF_TEST_A", "inherited", 1);
    setenv("DTF_TEST_B", "inherited", 1);
    setenv("DTF_TEST_BB", "other", 1);
    static const char *const env[] = {"DTF_TEST_B=new", "DTF_TEST_C=a=b c", "DTF_TEST_D=", NULL};
    struct command_spec c = {
        .argv = SHELL("echo \"$DTF_TEST_A,$DTF_TEST_B,$DTF_TEST_BB,$DTF_TEST_C,${DTF_TEST_D-unset}\"; env | "
                      "grep -c DTF_TEST_B="),
        .shell = true,
        .env = env,
    };
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    check_out("inherited,new,other,a=b c,\n1\n");
}

static void test_directory(void **state)
{
    (void)state;
    struct command_spec c = {.argv = SHELL("pwd"), .shell = true, .directory = "/"};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    check_out("/\n");
    outcome_fini(&o);
    c.directory = "/there is no such folder";
    assert_int_not_equal(command_execute(&c, &o), NRPC_OK);
    assert_int_not_equal(o.code, 0);
    assert_non_null(strstr(o.st.text, "No such file"));
}

static void test_input(void **state)
{
    (void)state;
    enum { MOST = 65536 };
    static char input[MOST + 1];
    for (size_t i = 0; i < MOST; i++)
        input[i] = (char)(i % 251); // with NUL bytes
    static const char *const cat[] = {"cat", NULL};
    struct command_spec c = {.argv = cat, .input = input, .input_size = MOST};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    assert_int_equal(o.output->out.len, MOST);
    assert_memory_equal(o.output->out.data, input, MOST);
    outcome_fini(&o);
    struct command_spec none = {.argv = cat}; // its input is empty, not ours
    assert_int_equal(command_execute(&none, &o), NRPC_OK);
    check_out("");
    outcome_fini(&o);
    struct command_spec unread = {.argv = SHELL("exit 0"), .shell = true, .input = input, .input_size = MOST};
    assert_int_equal(command_execute(&unread, &o), NRPC_OK);
    outcome_fini(&o);
    unread.input_size++;
    assert_int_equal(command_execute(&unread, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "input"));
}

static void test_output_cut(void **state)
{
    (void)state;
    struct command_spec c = {
        .argv = SHELL("printf 0123456789; printf abc >&2"),
        .shell = true,
        .max_output = 5,
    };
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    check_out("01234");
    assert_true(o.output->out_cut);
    assert_false(o.output->err_cut);
    outcome_fini(&o);
    c = (struct command_spec){.argv = SHELL("head -c 1000000 /dev/zero; head -c 65536 /dev/zero >&2"),
                              .shell = true};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    assert_int_equal(o.output->out.len, 65536);
    assert_true(o.output->out_cut);
    assert_int_equal(o.output->err.len, 65536); // exactly the limit: nothing is missing
    assert_false(o.output->err_cut);
    outcome_fini(&o);
    c = (struct command_spec){.argv = SHELL("true"), .shell = true, .max_output = 114689};
    assert_int_equal(command_execute(&c, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "max_output_bytes"));
}

static void test_exit_codes(void **state)
{
    (void)state;
    static const int codes[] = {1, 2, 127, 128, 129, 143, 254, 255};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char script[40], text[40];
        snprintf(script, sizeof script, "echo out; exit %d", codes[i]);
        snprintf(text, sizeof text, "exit code %d", codes[i]);
        struct command_spec c = {.argv = SHELL(script), .shell = true};
        assert_int_not_equal(command_execute(&c, &o), NRPC_OK);
        assert_int_equal(o.code, codes[i]);
        assert_string_equal(o.st.text, text);
        check_out("out\n"); // what a failed program said is kept
        outcome_fini(&o);
    }
}

static void test_signals(void **state)
{
    (void)state;
    static const int numbers[] = {SIGKILL, SIGTERM, SIGSEGV, SIGPIPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char script[40], text[40];
        snprintf(script, sizeof script, "kill -%d $$", numbers[i]);
        snprintf(text, sizeof text, "ended by signal %d (", numbers[i]);
        struct command_spec c = {.argv = SHELL(script), .shell = true};
        assert_int_not_equal(command_execute(&c, &o), NRPC_OK);
        assert_int_equal(o.code, 128 + numbers[i]);
        assert_memory_equal(o.st.text, text, strlen(text));
        outcome_fini(&o);
    }
}

static void test_not_found(void **state)
{
    (void)state;
    static const char *const missing[] = {"no-such-program-anywhere", "x", NULL};
    struct command_spec c = {.argv = missing};
    assert_int_equal(command_execute(&c, &o), NRPC_NOT_FOUND);
    assert_int_equal(o.code, 127);
    assert_non_null(strstr(o.st.text, "no-such-program-anywhere"));
    outcome_fini(&o);
    static const char *const folder[] = {"/tmp", NULL};
    struct command_spec not_a_program = {.argv = folder};
    assert_int_equal(command_execute(&not_a_program, &o), NRPC_PERMISSION_DENIED);
    assert_int_equal(o.code, 126);
    outcome_fini(&o);
    static const char *const empty[] = {"", NULL};
    struct command_spec no_name = {.argv = empty};
    assert_int_not_equal(command_execute(&no_name, &o), NRPC_OK);
    assert_int_equal(o.code, 127);
}

static void test_nul_bytes(void **state)
{
    (void)state;
    Dtf__V1__Command m = DTF__V1__COMMAND__INIT;
    ProtobufCBinaryData argv[] = {{4, (uint8_t *)"true"}, {3, (uint8_t *)"a\0b"}};
    ProtobufCBinaryData env[] = {{7, (uint8_t *)"A=b\0C=d"}};
    m.argv = argv;
    m.n_argv = 2;
    assert_int_equal(command_execute_message(&m, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "argv: argument 1 has a NUL byte"));
    outcome_fini(&o);
    m.n_argv = 1;
    m.env = env;
    m.n_env = 1;
    assert_int_equal(command_execute_message(&m, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "env"));
    outcome_fini(&o);
    m.n_env = 0;
    m.directory = (ProtobufCBinaryData){5, (uint8_t *)"/\0tmp"};
    assert_int_equal(command_execute_message(&m, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "directory"));
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    struct command_spec c = {.argv = nothing};
    assert_int_equal(command_execute(&c, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "argv"));
    outcome_fini(&o);
    static const char *const bad_env[] = {"=x", "NAME", ""};
    for (size_t i = 0; i < 3; i++) {
        const char *const env[] = {bad_env[i], NULL};
        c = (struct command_spec){.argv = SHELL("true"), .shell = true, .env = env};
        assert_int_equal(command_execute(&c, &o), NRPC_INVALID_ARGUMENT);
        assert_non_null(strstr(o.st.text, "env"));
        outcome_fini(&o);
    }
    assert_int_equal(command_execute_bytes("\xff\xff\xff", 3, &o), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(o.st.text, "dtf.v1.Command"));
}

// What is written by others of the program, after its end, is read.
static void test_output_of_others(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct command_spec c = {.argv = SHELL("(sleep 0.01; echo late; echo oops >&2) & echo early"),
                                 .shell = true};
        assert_int_equal(command_execute(&c, &o), NRPC_OK);
        check_out("early\nlate\n");
        assert_int_equal(o.output->err.len, 5);
        outcome_fini(&o);
    }
}

// A file that is no program for the kernel is the shell's, as for whoever types its name.
static void test_script_without_interpreter(void **state)
{
    (void)state;
    struct command_spec c = {.argv = SHELL("d=$(mktemp -d); echo 'echo \"it says $1\"' >$d/s; chmod +x $d/s; "
                                           "echo $d/s"),
                             .shell = true};
    assert_int_equal(command_execute(&c, &o), NRPC_OK);
    char path[200];
    snprintf(path, sizeof path, "%.*s", (int)o.output->out.len - 1, (const char *)o.output->out.data);
    outcome_fini(&o);
    const char *const argv[] = {path, "yes", NULL};
    struct command_spec script = {.argv = argv};
    assert_int_equal(command_execute(&script, &o), NRPC_OK);
    check_out("it says yes\n");
    outcome_fini(&o);
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
}

static int count_entries(const char *folder)
{
    char command[100];
    int n = -1;
    snprintf(command, sizeof command, "ls %s | wc -l", folder);
    FILE *f = popen(command, "r");
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

// No descriptor is handed down, none stays open here.
static void test_descriptors(void **state)
{
    (void)state;
    char folder[40];
    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)getpid());
    int before = count_entries(folder);
    for (int i = 0; i < 20; i++) {
        struct command_spec c = {
            .argv = SHELL("ls /proc/$$/fd"), .shell = true, .input = "x", .input_size = 1};
        assert_int_equal(command_execute(&c, &o), NRPC_OK);
        check_out("0\n1\n2\n");
        outcome_fini(&o);
        static const char *const missing[] = {"no-such-program-anywhere", NULL};
        c = (struct command_spec){.argv = missing, .input = "x", .input_size = 1};
        assert_int_not_equal(command_execute(&c, &o), NRPC_OK);
        outcome_fini(&o);
    }
    int after = count_entries(folder); // a sanitizer's own thread has one at times
    for (int i = 0; i < 200 && after != before; i++) {
        (void)poll(NULL, 0, 10);
        after = count_entries(folder);
    }
    assert_int_equal(after, before);
}

// A program starts with default signals and nothing blocked, whatever is set here.
static void test_signal_settings(void **state)
{
    (void)state;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    struct command_spec c = {.argv = SHELL("sed -n 's/^Sig[BI].*:.//p' /proc/self/status"), .shell = true};
    int code = command_execute(&c, &o);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(code, NRPC_OK);
    unsigned long long blocked, ignored;
    char text[100];
    snprintf(text, sizeof text, "%.*s", (int)o.output->out.len, (const char *)o.output->out.data);
    assert_int_equal(sscanf(text, "%llx %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored & ~(3ull << 31), 0); // posix_spawn ignores the two that belong to the C library
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // as the daemon does
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_argv, teardown),
        cmocka_unit_test_teardown(test_shell, teardown),
        cmocka_unit_test_teardown(test_env, teardown),
        cmocka_unit_test_teardown(test_directory, teardown),
        cmocka_unit_test_teardown(test_input, teardown),
        cmocka_unit_test_teardown(test_output_cut, teardown),
        cmocka_unit_test_teardown(test_exit_codes, teardown),
        cmocka_unit_test_teardown(test_signals, teardown),
        cmocka_unit_test_teardown(test_not_found, teardown),
        cmocka_unit_test_teardown(test_nul_bytes, teardown),
        cmocka_unit_test_teardown(test_refused, teardown),
        cmocka_unit_test_teardown(test_output_of_others, teardown),
        cmocka_unit_test_teardown(test_script_without_interpreter, teardown),
        cmocka_unit_test_teardown(test_descriptors, teardown),
        cmocka_unit_test_teardown(test_signal_settings, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
