// SPDX-License-Identifier: Apache-2.0
// task_test.c: every row of the tables of lib/model/task.c, and the edges of its functions.
#include "model/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NO = 0, CR = MODEL_CREATED, RU = MODEL_RUNNING, PA = MODEL_PAUSED };
enum { CA = MODEL_CANCELLED, CO = MODEL_COMPLETED, FA = MODEL_FAILED, TO = MODEL_TIMED_OUT };

static void test_status_table(void **state)
{
    (void)state;
    static const int expected[8][MODEL_EVENT_COUNT] = {
        //    admit pause resume completed cancelled failed timed_out
        [NO] = {NO, NO, NO, NO, NO, NO, NO}, [CR] = {RU, PA, CR, CO, CA, FA, TO},
        [RU] = {RU, PA, RU, CO, CA, FA, TO}, [PA] = {PA, PA, RU, CO, CA, FA, TO},
        [CA] = {NO, NO, NO, NO, CA, NO, NO}, [CO] = {NO, NO, NO, CO, NO, NO, NO},
        [FA] = {NO, NO, NO, NO, NO, FA, NO}, [TO] = {NO, NO, NO, NO, NO, NO, TO},
    };
    for (int status = 0; status < 8; status++)
        for (int event = 0; event < MODEL_EVENT_COUNT; event++)
            assert_int_equal(model_status_after((enum model_status)status, (enum model_event)event),
                             expected[status][event]);
    assert_int_equal(model_status_after(8, MODEL_ADMIT), 0);
    assert_int_equal(model_status_after(-1, MODEL_ADMIT), 0);
    assert_int_equal(model_status_after(MODEL_RUNNING, MODEL_EVENT_COUNT), 0);
    assert_int_equal(model_status_after(MODEL_RUNNING, -1), 0);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const statuses[] = {"unknown",   "created", "running",   "paused", "cancelled",
                                           "completed", "failed",  "timed_out", "unknown"};
    static const char *const phases[] = {"unknown", "generating", "draining", "stopping",
                                         "closing", "closed",     "unknown"};
    static const char *const outcomes[] = {"none",      "completed", "cancelled", "failed",
                                           "timed_out", "dropped",   "unknown"};
    for (int i = 0; i < 9; i++)
        assert_string_equal(model_status_name(i), statuses[i]);
    assert_string_equal(model_status_name(-1), "unknown");
    for (int i = 0; i < 7; i++)
        assert_string_equal(model_phase_name((enum model_phase)i), phases[i]);
    for (int i = 0; i < 7; i++)
        assert_string_equal(model_outcome_name((enum model_outcome)i), outcomes[i]);
    for (int i = -1; i < 9; i++)
        assert_int_equal(model_status_is_terminal(i), i >= MODEL_CANCELLED && i <= MODEL_TIMED_OUT);
}

// An outcome's event leads to the status of the same name.
static void test_outcome_events(void **state)
{
    (void)state;
    for (int o = MODEL_OUTCOME_COMPLETED; o <= MODEL_OUTCOME_TIMED_OUT; o++) {
        enum model_status after =
            model_status_after(MODEL_RUNNING, model_outcome_event((enum model_outcome)o));
        assert_string_equal(model_status_name((int)after), model_outcome_name((enum model_outcome)o));
    }
    assert_int_equal(model_outcome_event(MODEL_OUTCOME_NONE), MODEL_EVENT_COUNT);
    assert_int_equal(model_outcome_event(99), MODEL_EVENT_COUNT);
}

static void test_phases(void **state)
{
    (void)state;
    enum {
        G = MODEL_GENERATING,
        D = MODEL_DRAINING,
        S = MODEL_STOPPING,
        C = MODEL_CLOSING,
        X = MODEL_CLOSED
    };
    enum { NONE = MODEL_OUTCOME_NONE, DONE = MODEL_OUTCOME_COMPLETED, BAD = MODEL_OUTCOME_FAILED };
    static const struct {
        int phase, done, running, queued, failed, timed_out;
        int64_t tolerated;
        int callback, next, outcome;
    } rows[] = {
        {G, 0, 0, 0, 0, 0, -1, 0, G, NONE},
        {G, 0, 1, 0, 0, 0, -1, 0, G, NONE},
        {G, 0, 0, 1, 0, 0, -1, 0, G, NONE},
        {G, 1, 0, 1, 0, 0, -1, 0, D, NONE},
        {G, 1, 1, 0, 0, 0, -1, 0, D, NONE},
        {G, 1, 0, 0, 0, 0, -1, 0, X, DONE},
        {G, 1, 0, 0, 0, 0, -1, 1, C, DONE},
        {D, 1, 1, 1, 0, 0, -1, 1, D, NONE},
        {D, 1, 0, 1, 0, 0, -1, 1, D, NONE},
        {D, 1, 1, 0, 0, 0, -1, 1, D, NONE},
        {D, 1, 0, 0, 0, 0, -1, 1, C, DONE},
        {D, 1, 0, 0, 0, 0, -1, 0, X, DONE},
        // too many failures
        {G, 0, 1, 5, 9, 9, -1, 0, G, NONE},
        {G, 0, 1, 5, 1, 1, 2, 0, G, NONE},
        {G, 0, 1, 5, 2, 1, 2, 0, S, BAD},
        {G, 0, 0, 5, 0, 1, 0, 0, S, BAD},
        {G, 0, 0, 0, 1, 0, 0, 0, X, BAD},
        {G, 0, 0, 0, 1, 0, 0, 1, C, BAD},
        {D, 1, 1, 0, 1, 0, 0, 0, S, BAD},
        {D, 1, 0, 0, 1, 0, 0, 0, X, BAD},
        {D, 1, 0, 0, 1, 0, 1, 0, X, DONE},
        // stopping keeps the outcome it has, whatever fails then
        {S, 0, 1, 0, 9, 0, 0, 0, S, NONE},
        {S, 0, 0, 1, 0, 0, 0, 0, S, NONE},
        {S, 0, 0, 0, 9, 0, 0, 0, X, NONE},
        {S, 1, 0, 0, 0, 0, -1, 1, C, NONE},
        // these do not move by themselves
        {C, 1, 0, 0, 0, 0, -1, 1, C, NONE},
        {X, 1, 0, 0, 9, 0, 0, 0, X, NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model_counters n = {.running = (uint64_t)rows[i].running,
                                   .queued = (uint64_t)rows[i].queued,
                                   .failed = (uint64_t)rows[i].failed,
                                   .timed_out = (uint64_t)rows[i].timed_out,
                                   .generation_done = rows[i].done};
        struct model_policy policy = {.tolerated_failures = rows[i].tolerated};
        enum model_outcome outcome = MODEL_OUTCOME_TIMED_OUT;
        enum model_phase next =
            model_phase_next((enum model_phase)rows[i].phase, &n, &policy, rows[i].callback, &outcome);
        if ((int)next != rows[i].next || (int)outcome != rows[i].outcome)
            fail_msg("row %zu: %s, %s", i, model_phase_name(next), model_outcome_name(outcome));
    }
}

static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        uint32_t base, failures;
        int64_t ms;
    } rows[] = {
        {0, 0, 100},
        {0, 1, 200},
        {0, 15, 3276800},
        {0, 16, 3600000},
        {0, UINT32_MAX, 3600000},
        {1, 0, 1},
        {1, 21, 2097152},
        {1, 22, 3600000},
        {1, 63, 3600000},
        {1, 64, 3600000},
        {3600000, 0, 3600000},
        {3599999, 0, 3599999},
        {3599999, 1, 3600000},
        {3600001, 0, 3600000},
        {UINT32_MAX, 0, 3600000},
        {UINT32_MAX, UINT32_MAX, 3600000},
        {250, 3, 2000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model_policy policy = {.retry_backoff_ms = rows[i].base};
        assert_int_equal(model_backoff_ms(&policy, rows[i].failures), rows[i].ms);
    }
}

static void test_retry(void **state)
{
    (void)state;
    static const struct {
        int kind;
        uint32_t max_retries, failures, losses, losses_max;
        int verdict;
        int64_t delay_ms;
    } rows[] = {
        {MODEL_SUCCESS, 9, 0, 0, 9, MODEL_SETTLE, 0},
        {MODEL_CANCELLED_RESULT, 9, 0, 0, 9, MODEL_SETTLE, 0},
        {MODEL_FAILURE, 0, 0, 0, 9, MODEL_SETTLE, 0},
        {MODEL_FAILURE, 2, 0, 0, 9, MODEL_RETRY, 100},
        {MODEL_FAILURE, 2, 1, 0, 9, MODEL_RETRY, 200},
        {MODEL_FAILURE, 2, 2, 0, 9, MODEL_SETTLE, 0},
        {MODEL_FAILURE, UINT32_MAX, UINT32_MAX - 1, 0, 9, MODEL_RETRY, 3600000},
        {MODEL_FAILURE, UINT32_MAX, UINT32_MAX, 0, 9, MODEL_SETTLE, 0},
        {MODEL_FAILURE, 1, 0, 9, 9, MODEL_RETRY, 100}, // losses do not use up retries
        {MODEL_TIMEOUT, 1, 0, 0, 9, MODEL_RETRY, 100},
        {MODEL_TIMEOUT, 1, 1, 0, 9, MODEL_SETTLE, 0},
        {MODEL_LOST, 0, 0, 0, 5, MODEL_RETRY, 0},
        {MODEL_LOST, 0, 7, 4, 5, MODEL_RETRY, 0}, // nor failures losses
        {MODEL_LOST, 9, 0, 5, 5, MODEL_SETTLE, 0},
        {MODEL_LOST, 9, 0, 0, 0, MODEL_SETTLE, 0},
        {99, 9, 0, 0, 9, MODEL_SETTLE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct model_policy policy = {.max_retries = rows[i].max_retries};
        int64_t delay_ms = -1;
        assert_int_equal(model_retry(&policy, (enum model_kind)rows[i].kind, rows[i].failures, rows[i].losses,
                                     rows[i].losses_max, &delay_ms),
                         rows[i].verdict);
        assert_int_equal(delay_ms, rows[i].delay_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_table),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_outcome_events), cmocka_unit_test(test_phases),
        cmocka_unit_test(test_backoff),        cmocka_unit_test(test_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
