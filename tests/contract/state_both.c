// SPDX-License-Identifier: Apache-2.0
// state_both.c: dice, words and printing.
#include "state_both.h"

#include "base/mem.h"

uint64_t roll(dice *d, uint64_t sides)
{
    *d ^= *d << 13;
    *d ^= *d >> 7;
    *d ^= *d << 17;
    return (*d >> 11) % sides;
}

bool is_last(const struct walk *w, const struct store *s)
{
    return s == &w->stores[0];
}

// ---- printing

void both_say(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(s->out, format, args);
    va_end(args);
}

bool succeeds(struct store *s, int code)
{
    both_say(s, "%s", code ? nrpc_code_name(code) : "OK");
    return code == NRPC_OK;
}

void say_blob(struct store *s, struct state_blob b)
{
    both_say(s, " '%.*s'", (int)b.bytes, b.data ? (const char *)b.data : "");
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Sorts the lines that were printed from `start` on.
void sort_from(struct store *s, long start)
{
    size_t count = 0, capacity = 0;
    char **lines = NULL;
    (void)fflush(s->out);
    char *copy = mem_strdup(s->text + start);
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
        if (*line) {
            mem_grow(&lines, &capacity, count + 1, sizeof(char *));
            lines[count++] = line;
        }
    if (count)
        qsort(lines, count, sizeof *lines, compare_lines);
    (void)fseek(s->out, start, SEEK_SET);
    for (size_t i = 0; i < count; i++)
        both_say(s, "%s\n", lines[i]);
    free(lines);
    free(copy);
}

long begin_set(struct store *s)
{
    both_say(s, "\n");
    return ftell(s->out);
}

void say_result(struct store *s, const struct state_result *r)
{
    both_say(s, "%llu attempt %u kind %d code %d '%s' %lld us", (unsigned long long)r->seq, r->attempt,
             (int)r->kind, r->code, r->message ? r->message : "", (long long)r->run_us);
    say_blob(s, r->body);
    say_blob(s, r->param);
    both_say(s, "\n");
}

// ---- arguments

static const char *const words[] = {"plain",
                                    "",
                                    "'; DROP TABLE tbl_task; --",
                                    "\xf0\x9f\xa6\x8a caf\xc3\xa9",
                                    "a\nb\tc\\",
                                    "]]; redis.call('FLUSHALL') --",
                                    "{1}:t:%s",
                                    "null"};

const char *any_word(dice *d)
{
    return words[roll(d, sizeof words / sizeof *words)];
}

struct state_subtask *any_subtasks(struct store *s, dice *d, uint64_t first, size_t count)
{
    struct state_subtask *out = arena_alloc(&s->arena, (count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        char param[LARGE];
        int width = roll(d, 40) ? 0 : (int)roll(d, LARGE - 100); // some are large
        int size = snprintf(param, sizeof param, "%llu %s%*s", (unsigned long long)(first + i), any_word(d),
                            width, "");
        out[i] = (struct state_subtask){{arena_dup(&s->arena, param, (size_t)size), (size_t)size},
                                        (uint32_t)(1000 + first + i)};
    }
    return out;
}

struct state_progress progress_of(struct walk *w, struct store *s, size_t slot)
{
    struct state_progress p = {0};
    if (s->ops->progress(s->s, &w->ids[slot], 1, &s->arena, &p, &s->st))
        fail_msg("%s: %s", s->name, s->st.text);
    return p;
}

size_t slot_of(const struct walk *w, uint64_t task)
{
    size_t slot = 0;
    while (slot < SLOTS && w->ids[slot] != task)
        slot++;
    assert_true(slot < SLOTS);
    return slot;
}
