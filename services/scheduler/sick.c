// SPDX-License-Identifier: Apache-2.0
// sick.c: what there is to be told of nodes: that one is short of something, as it says itself, or is in
// quarantine. Kept in the state when it changes, for whoever is asked about the nodes, and logged when it
// begins and when it is over; of a second, together.
#include "scheduler_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_MS = 1000,
    NAMED_MAX = 4, // nodes in a line of the log
};

static void changed(struct scheduler *s, struct node *n)
{
    if (!n->note.is_kept)
        return;
    n->note.is_kept = false;
    mem_grow(&s->to_note, &s->to_note_capacity, s->to_note_count + 1, sizeof *s->to_note);
    s->to_note[s->to_note_count++] = n->id;
}

// It talks to another coordinator now, who knows better.
static bool is_away(const struct scheduler *s, const struct node *n, int64_t now_ms)
{
    return !n->parked && n->heard_ms && now_ms - n->heard_ms > s->env->node_lease_ms;
}

// Whoever is short of something says so in each call. Before heard_ms is this call's.
void sick_heard(struct scheduler *s, struct node *n, const Dtf__V1__ExchangeRequest *r, int64_t now_ms)
{
    char text[STATE_NOTE_MAX + 1];
    struct node_note *note = &n->note;
    if (is_away(s, n, now_ms)) // it is back: what the state has was told by another
        changed(s, n);
    if (!*r->short_of && !note->short_of)
        return;
    snprintf(text, sizeof text, "%s", r->short_of);
    utf8_repair(text);
    uint32_t usable = r->usable < n->slots ? r->usable : n->slots;
    if (*text && note->short_of && usable == note->usable && !strcmp(text, note->short_of))
        return;
    free(note->short_of);
    note->short_of = *text ? mem_strdup(text) : NULL;
    note->usable = usable;
    changed(s, n);
}

void sick_set_apart(struct scheduler *s, struct node *n, const char *why)
{
    free(n->note.quarantine);
    n->note.quarantine = why ? mem_strdup(why) : NULL;
    changed(s, n);
}

void sick_adopt(struct scheduler *s, struct node *n, const struct state_node *found)
{
    struct node_note *note = &n->note;
    note->usable = found->usable;
    note->short_of = *found->short_of ? mem_strdup(found->short_of) : NULL;
    note->quarantine = *found->quarantine ? mem_strdup(found->quarantine) : NULL;
    note->said_short = note->short_of;
    note->said_apart = note->quarantine;
    if (note->quarantine && s->suspect) {
        suspect_put(s->suspect, n->id, s->env->now_ms());
        node_set_most(&s->nodes, n, 0);
    } else if (note->quarantine)
        sick_set_apart(s, n, NULL);
}

// ---- telling

enum kind { IS_SHORT, WAS_SHORT, IS_APART, WAS_APART, KINDS };

static const struct {
    enum log_level level;
    const char *one, *many;
} lines[KINDS] = {
    [IS_SHORT] = {LOG_WARN, "node is short of something", "nodes are short of something"},
    [WAS_SHORT] = {LOG_INFO, "node is short of nothing any more", "nodes are short of nothing any more"},
    [IS_APART] = {LOG_WARN, "node is quarantined", "nodes are quarantined"},
    [WAS_APART] = {LOG_INFO, "node is quarantined no more", "nodes are quarantined no more"},
};

struct line {
    size_t count, at;
    char text[900];
};

static void name(struct line *l, const struct node *n, const char *why)
{
    if (l->count++ >= NAMED_MAX || l->at >= sizeof l->text)
        return;
    l->at +=
        (size_t)snprintf(l->text + l->at, sizeof l->text - l->at, "%s%llu (%s)%s%s", l->count > 1 ? "; " : "",
                         (unsigned long long)n->id, n->name, *why ? ": " : "", why);
}

static void add_to_log(struct line *all, struct node *n)
{
    struct node_note *note = &n->note;
    char why[STATE_NOTE_MAX + 60] = "";
    if (note->short_of)
        snprintf(why, sizeof why, "it uses %u of %u slots: %s", note->usable, n->slots, note->short_of);
    if (!note->short_of != !note->said_short)
        name(&all[note->short_of ? IS_SHORT : WAS_SHORT], n, why);
    if (!note->quarantine != !note->said_apart)
        name(&all[note->quarantine ? IS_APART : WAS_APART], n, note->quarantine ? note->quarantine : "");
    note->said_short = note->short_of;
    note->said_apart = note->quarantine;
}

static void write_log(const struct line *all)
{
    for (size_t i = 0; i < KINDS; i++)
        if (all[i].count)
            log_line(lines[i].level, "%zu %s: %s%s", all[i].count,
                     all[i].count == 1 ? lines[i].one : lines[i].many, all[i].text,
                     all[i].count > NAMED_MAX ? "; ..." : "");
}

static int keep(struct scheduler *s, struct node *const *nodes, size_t count)
{
    struct nrpc_status st;
    struct state_note *notes = arena_alloc(&s->arena, (count + 1) * sizeof *notes);
    for (size_t i = 0; i < count; i++) {
        const struct node_note *n = &nodes[i]->note;
        notes[i] = (struct state_note){nodes[i]->id, n->usable, n->short_of ? n->short_of : "",
                                       n->quarantine ? n->quarantine : ""};
    }
    int code = count ? s->env->state->ops->node_note(s->env->state, notes, count, &st) : NRPC_OK;
    if (code)
        trouble_say(s->env->trouble, &st, "scheduler: cannot keep what there is to be told of %zu nodes",
                    count);
    return code;
}

int64_t sick_tick(struct scheduler *s, int64_t now_ms)
{
    size_t count = 0;
    if (!s->to_note_count)
        return CLOCK_NEVER;
    if (now_ms < s->next_note_ms && s->next_note_ms <= now_ms + PAUSE_MS) // the clock may have jumped
        return s->next_note_ms;
    s->next_note_ms = now_ms + PAUSE_MS;
    struct line *all = arena_calloc(&s->arena, KINDS * sizeof *all);
    struct node **nodes = arena_alloc(&s->arena, s->to_note_count * sizeof(struct node *));
    for (size_t i = 0; i < s->to_note_count; i++) {
        struct node *n = node_table_find(&s->nodes, s->to_note[i]);
        if (n && is_away(s, n, now_ms))
            n->note.is_kept = true;
        else if (n && !n->note.is_kept)
            nodes[count++] = n;
    }
    for (size_t i = 0; i < count; i++)
        add_to_log(all, nodes[i]);
    write_log(all);
    if (keep(s, nodes, count))
        return s->next_note_ms;
    for (size_t i = 0; i < count; i++)
        nodes[i]->note.is_kept = true;
    s->to_note_count = 0;
    return CLOCK_NEVER;
}
