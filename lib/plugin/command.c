// SPDX-License-Identifier: Apache-2.0
// command.c: runs a program: started by a keeper (reaper.h) in a process group of its own, its output
// captured up to a limit.
//
// A command is over when nothing of it is left. What the program leaves running has LINGER_MS to end, and to
// write; then it is killed.
#include "plugin/command.h"

#include "base/clock.h"
#include "base/mem.h"
#include "dtf/v1/command.pb-c.h"
#include "plugin/callback.h"
#include "plugin/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OUTPUT_DEFAULT = 65536,
    STDIN_MAX = 65536,
    ARGS_MAX = 10000,
    TERM_PATIENCE_MS = 1000, // between SIGTERM and SIGKILL
    LINGER_MS = 1000,        // between the program's end, and that of what it left running
    STUCK_MS = 5000,         // after which what does not end by SIGKILL is left to its keeper
    READS_MAX = 64,          // in a row, of one stream
    EXIT_NOT_FOUND = 127,
    EXIT_NOT_EXECUTABLE = 126,
};

#define LINGER_TEXT "1 s"

extern char **environ;

struct output { // one captured stream
    int fd;     // our end; -1: closed
    unsigned char *data;
    size_t size, limit;
    bool cut;
};

enum stage {
    RUNS,
    HAS_ENDED, // the program
    IS_EMPTY,  // nothing of it is left
    IS_GONE,   // nor its keeper
    IS_STUCK,  // the program has ended, what it left running cannot be killed
};

struct run {
    struct reaper_run *keeper;
    enum stage stage;
    int error, status; // why it did not start; the program's wait status
    int news, input;   // descriptors
    size_t input_written;
    const Dtf__V1__Command *command;
    struct output out, err;
    int64_t kill_at_ms; // all of it, on the monotonic clock; CLOCK_NEVER: it may run
    bool cancelled;
    bool late; // something had its output open at kill_at_ms, though the program had ended
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

static uint32_t add_text(struct dtf_buffer *texts, const void *text, size_t size)
{
    dtf_buffer_append(texts, text, size);
    dtf_buffer_append(texts, "", 1);
    return 1;
}

static uint32_t add_argv(const Dtf__V1__Command *c, struct dtf_buffer *texts)
{
    uint32_t n = 0;
    if (c->shell) {
        n += add_text(texts, "/bin/sh", 7) + add_text(texts, "-c", 2);
        n += add_text(texts, c->argv[0].data, c->argv[0].len);
    }
    for (size_t i = 0; i < c->n_argv; i++)
        n += add_text(texts, c->argv[i].data, c->argv[i].len);
    return n;
}

// Whether one of the command's variables has the name of the entry.
static bool is_replaced(const Dtf__V1__Command *c, const char *entry)
{
    size_t n = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < c->n_env; i++)
        if (c->env[i].len >= n && !memcmp(c->env[i].data, entry, n))
            return true;
    return false;
}

// The node's environment, with the command's variables instead of those of the same name.
static uint32_t add_env(const Dtf__V1__Command *c, struct dtf_buffer *texts)
{
    uint32_t n = 0;
    for (size_t i = 0; i < c->n_env; i++)
        n += add_text(texts, c->env[i].data, c->env[i].len);
    for (char **entry = environ; *entry; entry++)
        if (!is_replaced(c, *entry))
            n += add_text(texts, *entry, strlen(*entry));
    return n;
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

static int hand_over(const Dtf__V1__Command *c, const struct pipes *p, struct run *r)
{
    struct dtf_buffer texts = {0};
    struct reaper_program program = {.out = p->out[1], .err = p->err[1], .in = p->in[0]};
    program.argc = add_argv(c, &texts);
    program.envc = add_env(c, &texts);
    add_text(&texts, c->directory.data, c->directory.len);
    program.texts = (const char *)texts.data;
    program.bytes = texts.size;
    int error = reaper_run(&program, &r->keeper, &r->news);
    buffer_fini(&texts);
    return error;
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
    *r = (struct run){.command = c, .kill_at_ms = CLOCK_NEVER};
    rv = hand_over(c, &p, r);
    if (rv) {
        close_all(&p);
        return rv;
    }
    r->out = (struct output){.fd = p.out[0], .limit = limit};
    r->err = (struct output){.fd = p.err[0], .limit = limit};
    r->input = p.in[1];
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

// What the keeper has to tell.
static void read_news(struct run *r)
{
    struct keeper_news news[4];
    ssize_t n = recv(r->news, news, sizeof news, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        r->stage = IS_GONE;
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *news; i++)
        switch ((enum keeper_news_kind)news[i].kind) {
        case KEEPER_FAILED:
            r->error = news[i].value;
            r->stage = IS_EMPTY;
            break;
        case KEEPER_ENDED:
            r->status = news[i].value;
            r->stage = HAS_ENDED;
            if (!r->cancelled)
                r->kill_at_ms = mono_ms() + LINGER_MS;
            break;
        case KEEPER_EMPTY:
            r->stage = IS_EMPTY;
            break;
        }
}

static bool is_silent(const struct run *r)
{
    return r->out.fd < 0 && r->err.fd < 0;
}

static int wait_ms(int64_t until_ms)
{
    int64_t ms = until_ms - mono_ms();
    return until_ms == CLOCK_NEVER ? -1 : ms > 0 ? (int)ms : 0; // at most TERM_PATIENCE_MS
}

static void cancel(struct run *r)
{
    r->cancelled = true;
    reaper_signal(r->keeper, SIGTERM);
    r->kill_at_ms = mono_ms() + TERM_PATIENCE_MS;
}

static void kill_rest(struct run *r)
{
    r->late = !r->cancelled && !is_silent(r);
    reaper_clear(r->keeper);
    r->kill_at_ms = CLOCK_NEVER;
}

// Nothing of it is left, and all was read. Not waited for: the end of an output that somebody else has got
// hold of, when all of the command was killed, or did not begin.
static bool is_over(const struct run *r, bool killed)
{
    return r->stage >= IS_GONE || (r->stage == IS_EMPTY && (killed || is_silent(r) || r->error));
}

static void follow(struct run *r, struct dtf_execution *x)
{
    int cancel_fd = dtf_execution_cancel_fd(x);
    for (bool killed = false; !is_over(r, killed);) {
        struct pollfd fds[] = {{r->stage < IS_EMPTY ? r->news : -1, POLLIN, 0},
                               {r->out.fd, POLLIN, 0},
                               {r->err.fd, POLLIN, 0},
                               {r->input, POLLOUT, 0},
                               {r->cancelled ? -1 : cancel_fd, POLLIN, 0}};
        if (poll(fds, 5, wait_ms(r->kill_at_ms)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            read_news(r);
        if (fds[1].revents)
            drain(&r->out);
        if (fds[2].revents)
            drain(&r->err);
        if (fds[3].revents)
            feed(r);
        if (fds[4].revents) {
            cancel(r);
        } else if (mono_ms() >= r->kill_at_ms && killed) {
            r->stage = IS_STUCK;
        } else if (mono_ms() >= r->kill_at_ms) {
            kill_rest(r);
            killed = true;
        }
        if (killed && r->stage == HAS_ENDED && r->kill_at_ms == CLOCK_NEVER)
            r->kill_at_ms = mono_ms() + STUCK_MS;
    }
}

static void finish(struct run *r)
{
    drain(&r->out);
    drain(&r->err);
    close_fd(&r->out.fd);
    close_fd(&r->err.fd);
    close_fd(&r->input);
    reaper_release(r->keeper, r->stage == IS_EMPTY);
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

// What sets the limit of which an error tells, if it is the machine's and not the command's; NULL: it is not.
static const char *limit_of(int error)
{
    static const struct {
        int error;
        const char *limit;
    } shortages[] = {
        {EMFILE, "ulimit -n"}, {ENFILE, "fs.file-max"}, {EAGAIN, "ulimit -u, pids.max"},
        {ENOMEM, "memory"},    {ENOSPC, "disk"},
    };
    for (size_t i = 0; i < sizeof shortages / sizeof *shortages; i++)
        if (error == shortages[i].error)
            return shortages[i].limit;
    return NULL;
}

static int fail_to_start(struct dtf_execution *x, const Dtf__V1__Command *c, int error,
                         struct nrpc_status *st)
{
    char *name = text_of(c->argv[0]), *directory = text_of(c->directory), what[230];
    const char *limit = limit_of(error);
    snprintf(what, sizeof what, "cannot run %.100s%s%.80s%s%s%s", c->shell ? "/bin/sh" : name,
             *directory ? " in " : "", directory, limit ? " (limit: " : "", limit ? limit : "",
             limit ? ")" : "");
    free(name);
    free(directory);
    x->node_short = limit != NULL;
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

static int settle(struct run *r, struct dtf_execution *x, struct nrpc_status *st)
{
    int number = WTERMSIG(r->status);
    int code = WIFSIGNALED(r->status) ? 128 + number : WEXITSTATUS(r->status);
    dtf_execution_set_code(x, code);
    x->killed = was_stopped(code);
    if (r->stage == IS_STUCK)
        x->note = "what it left running cannot be killed";
    else if (r->late)
        x->note = "what it left running was killed " LINGER_TEXT " later, and its output may not be whole";
    set_body(x, r);
    free(r->out.data);
    free(r->err.data);
    if (WIFSIGNALED(r->status))
        return status_set(st, NRPC_UNKNOWN, "ended by signal %d (%s)", number, strsignal(number));
    return code ? status_set(st, NRPC_UNKNOWN, "exit code %d", code) : NRPC_OK;
}

static int run_command(const Dtf__V1__Command *c, struct dtf_execution *x, struct nrpc_status *st)
{
    struct run r;
    if (check(c, st))
        return st->code;
    int error = start(c, &r);
    if (error)
        return fail_to_start(x, c, error, st);
    follow(&r, x);
    finish(&r);
    if (!r.error && r.stage != IS_GONE)
        return settle(&r, x, st);
    free(r.out.data);
    free(r.err.data);
    if (r.error)
        return fail_to_start(x, c, r.error, st);
    x->node_short = true; // not the command's fault: it runs again
    return status_set(st, NRPC_UNAVAILABLE, "the process that the command ran under was ended");
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
