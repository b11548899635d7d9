// SPDX-License-Identifier: Apache-2.0
// nodes.h: thousands of executor nodes in one process, each on a TCP connection of its own, speaking the
// nodes' protocol as services/executor does: a call that waits for work, another that brings results and
// takes what is ready. What they are given they only hold, for as long as a subtask is to run.
#ifndef TESTS_LOAD_NODES_H
#define TESTS_LOAD_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct load_nodes;

struct load_options {
    const char *url;
    size_t count;
    unsigned slots; // of each
    int64_t run_us; // of a subtask
    bool is_uneven; // each runs between a half and one and a half of that
    unsigned seed;
    int64_t keepalive_ms;
};

struct load_stats {
    uint64_t settled;    // results that were acknowledged
    uint64_t doubled;    // subtasks that came to one node while another, which is well, ran them
    uint64_t failures;   // calls that failed
    uint64_t registered; // nodes that have a number now
    uint64_t busy;       // slots that run something now
    uint64_t reports;    // calls with results, answered
};

// They live as long as the process: closing ten thousand connections politely would take longer than a
// measurement.
struct load_nodes *load_nodes_start(const struct load_options *o);
void load_nodes_set_run(struct load_nodes *l, int64_t run_us);
struct load_stats load_nodes_stats(struct load_nodes *l);
// Of the calls with results that were answered since it was asked last: the time that this part of them
// (0..1) took at the most, in milliseconds.
double load_nodes_latency_ms(struct load_nodes *l, double part);
// The first `count` say nothing any more, as if their machines stood still.
void load_nodes_kill(struct load_nodes *l, size_t count);

#endif
