// SPDX-License-Identifier: Apache-2.0
// node_table.c: nodes by id, by the time their call must be answered, and by hunger (first come, first
// served).
#include "node_table.h"

#include "ahead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void node_table_init(struct node_table *t)
{
    *t = (struct node_table){0};
    t->hungry_tail = &t->hungry;
}

struct node *node_table_find(struct node_table *t, uint64_t id)
{
    struct node *n;
    HASH_FIND(hh, t->all, &id, sizeof id, n);
    return n;
}

static struct node_kind *kind_ref(struct node_table *t, const char *types)
{
    struct node_kind *k;
    size_t size = strlen(types) + 3;
    char *name = mem_alloc(size);
    snprintf(name, size, "\n%s\n", types);
    HASH_FIND_STR(t->kinds, name, k);
    if (k) {
        free(name);
    } else {
        k = mem_calloc(1, sizeof *k);
        k->types = name;
        HASH_ADD_KEYPTR(hh, t->kinds, k->types, size - 1, k);
    }
    k->nodes++;
    return k;
}

static void kind_unref(struct node_table *t, struct node_kind *k)
{
    if (--k->nodes)
        return;
    HASH_DEL(t->kinds, k);
    free(k->types);
    free(k);
}

struct node *node_table_add(struct node_table *t, struct state_holder who, const struct state_node *as)
{
    struct node *n = mem_calloc(1, sizeof *n);
    n->id = who.node;
    n->session = who.session;
    n->name = mem_strdup(as->name);
    n->slots = as->slots;
    n->most = NODE_ANY;
    n->leased_until_ms = as->lease_until_ms;
    n->note.is_kept = true;
    n->kind = kind_ref(t, as->types);
    HASH_ADD(hh, t->all, id, sizeof n->id, n);
    return n;
}

static void leave_hungry(struct node_table *t, struct node *n)
{
    if (!n->prev_hungry)
        return;
    *n->prev_hungry = n->next_hungry;
    if (n->next_hungry)
        n->next_hungry->prev_hungry = n->prev_hungry;
    else
        t->hungry_tail = n->prev_hungry;
    n->prev_hungry = NULL;
    t->hungry_count--;
}

static void join_hungry(struct node_table *t, struct node *n)
{
    n->next_hungry = NULL;
    n->prev_hungry = t->hungry_tail;
    *t->hungry_tail = n;
    t->hungry_tail = &n->next_hungry;
    t->hungry_count++;
}

struct node_room node_room_of(const struct node *n, const struct exchange *x)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    uint64_t most_us = (uint64_t)n->slots * AHEAD_SLOT_US;
    return (struct node_room){r->want < n->slots ? r->want : n->slots,
                              r->ahead < AHEAD_MAX ? r->ahead : AHEAD_MAX,
                              (int64_t)(r->ahead_us < most_us ? r->ahead_us : most_us)};
}

void node_park(struct node_table *t, struct node *n, struct exchange *x, int64_t until_ms)
{
    n->parked = x;
    heap_put(&t->waits, &n->wait, until_ms);
    node_set_room(t, n, node_room_of(n, x));
}

struct exchange *node_unpark(struct node_table *t, struct node *n)
{
    struct exchange *x = n->parked;
    heap_remove(&t->waits, &n->wait);
    node_set_room(t, n, (struct node_room){0});
    n->parked = NULL;
    return x;
}

struct node_room node_room_now(const struct node *n, struct node_room room)
{
    if (n->most == NODE_ANY)
        return room;
    return (struct node_room){.slots = room.slots < n->most ? room.slots : n->most};
}

// Who may have nothing of what it asks for hungers for nothing.
static void place(struct node_table *t, struct node *n)
{
    struct node_room room = node_room_now(n, n->room);
    t->hungry_slots += room.slots - (uint64_t)n->hungry_slots;
    n->hungry_slots = room.slots;
    if (!room.slots && !room.ahead)
        leave_hungry(t, n);
    else if (!n->prev_hungry)
        join_hungry(t, n);
}

void node_set_room(struct node_table *t, struct node *n, struct node_room room)
{
    n->room = room;
    place(t, n);
}

void node_set_most(struct node_table *t, struct node *n, uint32_t most)
{
    n->most = most;
    place(t, n);
}

uint32_t node_add_slots(struct node_table *t, struct node *n, size_t slots)
{
    struct node_room room = n->room;
    uint32_t most = n->parked ? n->slots - room.slots : 0;
    uint32_t more = slots < most ? (uint32_t)slots : most;
    room.slots += more;
    if (more)
        node_set_room(t, n, room);
    return more;
}

void node_add_cancel(struct node *n, uint64_t task)
{
    for (size_t i = 0; i < n->cancel_count; i++)
        if (n->cancels[i] == task)
            return;
    mem_grow(&n->cancels, &n->cancel_capacity, n->cancel_count + 1, sizeof *n->cancels);
    n->cancels[n->cancel_count++] = task;
}

bool node_can_run(const struct node *n, const char *type)
{
    size_t size = strlen(type);
    for (const char *at = n->kind->types; (at = strchr(at, '\n')) && at[1]; at++)
        if (!strncmp(at + 1, type, size) && at[1 + size] == '\n')
            return true;
    return false;
}

bool node_is_barren(const struct node *n, const struct sched *sched)
{
    return n->kind->barren == sched_news(sched);
}

void node_note_barren(const struct node *n, const struct sched *sched)
{
    n->kind->barren = sched_news(sched);
}

void node_table_remove(struct node_table *t, struct node *n)
{
    HASH_DEL(t->all, n);
    kind_unref(t, n->kind);
    free(n->note.short_of);
    free(n->note.quarantine);
    free(n->name);
    free(n->cancels);
    free(n);
}

void node_table_fini(struct node_table *t)
{
    struct node *n, *tmp;
    HASH_ITER(hh, t->all, n, tmp)
    node_table_remove(t, n);
    heap_fini(&t->waits);
}
