// SPDX-License-Identifier: Apache-2.0
// budget.h: how many bytes one message may still carry.
//
// Whoever puts a message together of many parts takes each part's size from a budget, and ends the message
// where that is used up; what does not fit stays for the next one. So no message is refused for its size,
// whoever made its parts. A budget's first part always fits: parts have limits of their own, far below a
// message's.
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

enum {
    BUDGET_MESSAGE_BYTES = 4 << 20, // the largest message that is sent (NRPC_DEFAULT_MAX_MESSAGE)
    // What a store gives out in one answer, but for the last part's overshoot and the numbers around each
    // part: so that it fits into a message with room to spare.
    BUDGET_BATCH_BYTES = BUDGET_MESSAGE_BYTES / 2,
    BUDGET_PART_BYTES = 16, // around a part of a message: its tag, its length
};

struct budget {
    size_t bytes, used;
    bool cut; // something did not fit
};

// For a message whose own fields take no more than 64 KiB.
static inline struct budget budget_of_message(void)
{
    return (struct budget){.bytes = BUDGET_MESSAGE_BYTES - (64 << 10)};
}

static inline bool budget_is_full(const struct budget *b)
{
    return b->used >= b->bytes;
}

// Takes a part of this packed size; false: it has to wait, and so does all that comes after it.
static inline bool budget_take(struct budget *b, size_t bytes)
{
    if (b->used && (b->cut || b->used + bytes + BUDGET_PART_BYTES > b->bytes)) {
        b->cut = true;
        return false;
    }
    b->used += bytes + BUDGET_PART_BYTES;
    return true;
}

#endif
