// SPDX-License-Identifier: Apache-2.0
// command.c: runs a program: posix_spawn in a process group of its own, output captured up to a limit, killed
// as a group.
#include "plugin/command.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "dtf/v1/command.pb-c.h"
#include "plugin/callback.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OUTPUT_DEFAULT = 65536,
    STDIN_MAX = 65536,
    ARGS_MAX = 10000,
    TERM_PATIENCE_MS = 1000, // between SIGTERM and SIGKILL
    READS_MAX = 64,          // in a row, of one stream
    EXIT_NOT_FOUND = 127,
    EXIT_NOT_EXECUTABLE = 126,
};

extern char **environ;

struct output { // one captured stream
    int fd;     // our end; -1: closed
    unsigned char *data;
    size_t size, limit;
    bool cut;
};

struct run {
    pid_t pid;
    int pid_fd, input;
    size_t input_written;
    const Dtf__V1__Command *command;
    struct output out, err;
};

// ---- what to start

static char *text_of(ProtobufCBinaryData b)
{
    char *text = mem_alloc(b.len + 1);
    if (b.len)
        memcpy(text, b.data, b.len);
    text[b.len] = 0;
    return text;
}

static void free_texts(char **texts)
{
    for (char **t = texts; t && *t; t++)
        free(*t);
    free(texts);
}

static char **make_argv(const Dtf__V1__Command *c)
{
    size_t n = 0;
    char **argv = mem_calloc(c->n_argv + 4, sizeof *argv);
    if (c->shell) {
        argv[n++] = mem_strdup("/bin/sh");
        argv[n++] = mem_strdup("-c");
        argv[n++] = text_of(c->argv[0]);
    }
    for (size_t i = 0; i < c->n_argv; i++)
        argv[n++] = text_of(c->argv[i]);
    return argv;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return !strncmp(a, b, n) && b[n] == '=';
}

// The node's environment, with the command's variables instead of those of the same name.
static char **make_env(const Dtf__V1__Command *c)
{
    size_t n = 0, count = 0;
    while (environ[count])
        count++;
    char **env = mem_calloc(count + c->n_env + 1, sizeof *env);
    for (size_t i = 0; i < c->n_env; i++)
        env[n++] = text_of(c->env[i]);
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < c->n_env && !replaced; k++)
            replaced = same_name(env[k], environ[i]);
        if (!replaced)
            env[n++] = mem_strdup(environ[i]);
    }
    return env;
}

static int check(const Dtf__V1__Command *c, struct nrpc_status *st)
{
    if (!c->n_argv || c->n_argv > ARGS_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "argv: 1 to %d arguments are needed", ARGS_MAX);
    for (size_t i = 0; i < c->n_argv; i++)
        if (memchr(c->argv[i].data ? (const void *)c->argv[i].data : "", 0, c->argv[i].len))
            return status_set(st, NRPC_INVALID_ARGUMENT, "argv: argument %zu has a NUL byte in it", i);
    for (size_t i = 0; i < c->n_env; i++)
        if (!c->env[i].len || !memchr(c->env[i].data, '=', c->env[i].len) || c->env[i].data[0] == '=' ||
            memchr(c->env[i].data, 0, c->env[i].len))
            return status_set(st, NRPC_INVALID_ARGUMENT, "env: entry %zu is not NAME=value", i);
    if (c->directory.len && memchr(c->directory.data, 0, c->directory.len))
        return status_set(st, NRPC_INVALID_ARGUMENT, "directory: it has a NUL byte in it");
    if (c->max_output_bytes > DTF_COMMAND_OUTPUT_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "max_output_bytes: %u is over %d", c->max_output_bytes,
                          DTF_COMMAND_OUTPUT_MAX);
    if (c->input.len > STDIN_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "input: %zu bytes are over %d", c->input.len, STDIN_MAX);
    return NRPC_OK;
}

// ---- starting

struct pipes {
    int in[2], out[2], err[2]; // [0] is read from
};

static void close_all(struct pipes *p)
{
    int *fds[] = {p->in, p->out, p->err};
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            if (fds[i][k] >= 0)
                close(fds[i][k]);
}

static int open_pipes(struct pipes *p, bool input)
{
    *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (pipe2(p->out, O_CLOEXEC) || pipe2(p->err, O_CLOEXEC) || (input && pipe2(p->in, O_CLOEXEC))) {
        int saved = errno;
        close_all(p);
        return saved;
    }
    return 0;
}

static int spawn(const Dtf__V1__Command *c, const struct pipes *p, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    static const int of_the_user[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    for (size_t i = 0; i < sizeof of_the_user / sizeof *of_the_user; i++)
        if (process_ignores(of_the_user[i])) // nohup, or a shell's trap '': that is for what it starts, too
            sigdelset(&all, of_the_user[i]);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&actions);
    char *directory = c->directory.len ? text_of(c->directory) : NULL;
    if (directory)
        posix_spawn_file_actions_addchdir_np(&actions, directory);
    if (p->in[0] >= 0)
        posix_spawn_file_actions_adddup2(&actions, p->in[0], 0);
    else
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, p->out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, p->err[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    char **argv = make_argv(c), **env = make_env(c);
    int rv = posix_spawnp(pid, argv[0], &actions, &attr, argv, env);
    free_texts(argv);
    free_texts(env);
    free(directory);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rv;
}

static void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int start(const Dtf__V1__Command *c, struct run *r)
{
    struct pipes p;
    size_t limit = c->max_output_bytes ? c->max_output_bytes : OUTPUT_DEFAULT;
    int rv = open_pipes(&p, c->input.len > 0);
    if (rv)
        return rv;
    *r = (struct run){.command = c, .input = -1, .pid_fd = -1, .out = {.fd = -1}, .err = {.fd = -1}};
    rv = spawn(c, &p, &r->pid);
    if (rv) {
        close_all(&p);
        return rv;
    }
    r->out = (struct output){.fd = p.out[0], .limit = limit};
    r->err = (struct output){.fd = p.err[0], .limit = limit};
    r->input = p.in[1];
    r->pid_fd = (int)syscall(SYS_pidfd_open, r->pid, 0);
    p.out[0] = p.err[0] = p.in[1] = -1;
    close_all(&p);
    set_nonblocking(r->out.fd);
    set_nonblocking(r->err.fd);
    if (r->input >= 0)
        set_nonblocking(r->input);
    return 0;
}

// ---- following it

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void keep(struct output *o, const unsigned char *data, size_t size)
{
    size_t room = o->limit - o->size;
    size_t n = size < room ? size : room;
    o->cut |= n < size;
    if (!n)
        return;
    o->data = mem_realloc(o->data, o->size + n);
    memcpy(o->data + o->size, data, n);
    o->size += n;
}

// Reads what there is, or so much that others must have their turn; closes at its end.
static void drain(struct output *o)
{
    unsigned char buffer[16384];
    for (int i = 0; i < READS_MAX && o->fd >= 0; i++) {
        ssize_t n = read(o->fd, buffer, sizeof buffer);
        if (n > 0)
            keep(o, buffer, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            close_fd(&o->fd);
        else if (errno == EAGAIN)
            return;
    }
}

static void feed(struct run *r)
{
    const ProtobufCBinaryData *in = &r->command->input;
    ssize_t n = write(r->input, in->data + r->input_written, in->len - r->input_written);
    if (n > 0)
        r->input_written += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || r->input_written == in->len)
        close_fd(&r->input);
}

// Patience is measured; the clock of the cluster may be set meanwhile.
static int64_t mono_ms(void)
{
    return clock_mono_us() / 1000;
}

// The program has ended; a cancelled one's group, too, as far as its output tells, or its time is up.
static bool is_over(const struct run *r, bool ended, int64_t kill_at_ms)
{
    bool silent = r->out.fd < 0 && r->err.fd < 0;
    if (!ended)
        return r->pid_fd < 0 && silent;
    return kill_at_ms == CLOCK_NEVER || silent || mono_ms() >= kill_at_ms;
}

static int wait_ms(int64_t until_ms)
{
    int64_t ms = until_ms - mono_ms();
    return until_ms == CLOCK_NEVER ? -1 : ms > 0 ? (int)ms : 0; // at most TERM_PATIENCE_MS
}

// Follows the program until it has ended. Cancelled: SIGTERM to its group, SIGKILL a second later.
static void follow(struct run *r, struct dtf_execution *x)
{
    int cancel_fd = dtf_execution_cancel_fd(x);
    int64_t kill_at_ms = CLOCK_NEVER;
    for (bool ended = false; !is_over(r, ended, kill_at_ms);) {
        struct pollfd fds[] = {{ended ? -1 : r->pid_fd, POLLIN, 0},
                               {r->out.fd, POLLIN, 0},
                               {r->err.fd, POLLIN, 0},
                               {r->input, POLLOUT, 0},
                               {kill_at_ms == CLOCK_NEVER ? cancel_fd : -1, POLLIN, 0}};
        if (poll(fds, 5, wait_ms(kill_at_ms)) < 0 && errno != EINTR)
            break;
        ended |= fds[0].revents != 0;
        drain(&r->out);
        drain(&r->err);
        if (fds[3].revents)
            feed(r);
        if (fds[4].revents) {
            kill(-r->pid, SIGTERM);
            kill_at_ms = mono_ms() + TERM_PATIENCE_MS;
        } else if (!ended && mono_ms() >= kill_at_ms) {
            kill(-r->pid, SIGKILL);
            kill_at_ms = mono_ms() + TERM_PATIENCE_MS;
        }
    }
    // Whoever of the group outlived the program; its number is not free before it is reaped.
    if (kill_at_ms != CLOCK_NEVER)
        kill(-r->pid, SIGKILL);
}

// The program's wait status.
static int reap(struct run *r)
{
    int status = 0;
    while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
        ;
    drain(&r->out);
    drain(&r->err);
    close_fd(&r->out.fd);
    close_fd(&r->err.fd);
    close_fd(&r->input);
    close_fd(&r->pid_fd);
    return status;
}

static void set_body(struct dtf_execution *x, const struct run *r)
{
    Dtf__V1__CommandOutput o = DTF__V1__COMMAND_OUTPUT__INIT;
    o.out.data = r->out.data;
    o.out.len = r->out.size;
    o.err.data = r->err.data;
    o.err.len = r->err.size;
    o.out_cut = r->out.cut;
    o.err_cut = r->err.cut;
    size_t size = dtf__v1__command_output__get_packed_size(&o);
    uint8_t *packed = mem_alloc(size);
    dtf__v1__command_output__pack(&o, packed);
    dtf_execution_set_body(x, packed, size);
    free(packed);
}

// ---- the callbacks

static int fail_to_start(struct dtf_execution *x, const Dtf__V1__Command *c, int error,
                         struct nrpc_status *st)
{
    char *name = text_of(c->argv[0]), *directory = text_of(c->directory), what[200];
    snprintf(what, sizeof what, "cannot run %.100s%s%.80s", c->shell ? "/bin/sh" : name,
             *directory ? " in " : "", directory);
    free(name);
    free(directory);
    dtf_execution_set_code(x, error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
    return status_errno(st, error, what);
}

// Whether the program ended by a signal that service managers and people send to stop things; or told so, as
// shells do when it was their child's end.
static bool was_stopped(int code)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (code == 128 + signals[i])
            return true;
    return false;
}

// Whether an error is the machine's and not the command's.
static bool is_shortage(int error)
{
    static const int shortages[] = {EMFILE, ENFILE, EAGAIN, ENOMEM, ENOSPC};
    for (size_t i = 0; i < sizeof shortages / sizeof *shortages; i++)
        if (error == shortages[i])
            return true;
    return false;
}

static int run_command(const Dtf__V1__Command *c, struct dtf_execution *x, struct nrpc_status *st)
{
    struct run r;
    if (check(c, st))
        return st->code;
    int error = start(c, &r);
    x->node_short = is_shortage(error);
    if (error)
        return fail_to_start(x, c, error, st);
    follow(&r, x);
    int status = reap(&r), number = WTERMSIG(status);
    int code = WIFSIGNALED(status) ? 128 + number : WEXITSTATUS(status);
    dtf_execution_set_code(x, code);
    x->killed = was_stopped(code);
    set_body(x, &r);
    free(r.out.data);
    free(r.err.data);
    if (WIFSIGNALED(status))
        return status_set(st, NRPC_UNKNOWN, "ended by signal %d (%s)", number, strsignal(number));
    return code ? status_set(st, NRPC_UNKNOWN, "exit code %d", code) : NRPC_OK;
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    Dtf__V1__Command *c = dtf__v1__command__unpack(NULL, subtask->param_bytes, subtask->param);
    if (!c)
        return status_set(st, NRPC_INVALID_ARGUMENT, "the subtask's parameter is no dtf.v1.Command");
    int code = run_command(c, x, st);
    dtf__v1__command__free_unpacked(c, NULL);
    return code;
}

// A task that is not fed has one subtask: the task's own parameter.
struct single {
    void *param;
    size_t param_bytes;
    uint32_t timeout_ms;
    bool given;
};

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    (void)saved_bytes;
    Dtf__V1__Command *c = dtf__v1__command__unpack(NULL, task->param_bytes, task->param);
    if (!c || check(c, st)) {
        int code =
            c ? st->code : status_set(st, NRPC_INVALID_ARGUMENT, "the task's parameter is no dtf.v1.Command");
        dtf__v1__command__free_unpacked(c, NULL);
        return code;
    }
    struct single *s = mem_alloc(sizeof *s);
    *s = (struct single){mem_dup(task->param, task->param_bytes), task->param_bytes, c->timeout_ms,
                         saved != NULL};
    dtf__v1__command__free_unpacked(c, NULL);
    *state = s;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct single *s = state;
    if (s->given)
        return DTF_NEXT_FINISHED;
    s->given = true;
    *out = (struct dtf_subtask_spec){s->param, s->param_bytes, s->timeout_ms};
    return DTF_NEXT_LAST;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    (void)state;
    dtf_buffer_append(out, "given", 5);
}

static void end(void *state)
{
    struct single *s = state;
    free(s->param);
    free(s);
}

static const struct dtf_generator generator = {
    .begin = begin,
    .next = next,
    .save_status = save_status,
    .end = end,
};

static const struct dtf_executor executor = {
    .execute = execute,
};

const struct dtf_task_type command_type = {
    .name = "command",
    .description = "runs a program per subtask",
    .generator = &generator,
    .executor = &executor,
};
