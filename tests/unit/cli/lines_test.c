// SPDX-License-Identifier: Apache-2.0
// lines_test.c: items survive being lines; what is damaged, out of order or cut off is refused by its line.
#include "lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER "{\"header\":{\"format\":1}}\n"
#define TASK "{\"task\":{\"id\":\"7\",\"status\":\"TASK_FAILED\"}}\n"
#define MORE "{\"more\":{\"taskId\":\"7\"}}\n"
#define END(n) "{\"end\":{\"tasks\":\"" #n "\"}}\n"

// Reads all; the number of items, or the sentence in st.
static int read_all(const char *text, size_t size, struct nrpc_status *st)
{
    struct lines l;
    Dtf__V1__ArchiveItem *item;
    FILE *f = fmemopen((void *)text, size, "r");
    int count = 0, code;
    assert_non_null(f);
    lines_init(&l, f);
    while (!(code = lines_next(&l, &item, st)) && item)
        count++;
    lines_fini(&l);
    fclose(f);
    return code ? -code : count;
}

static void refused(const char *text, const char *sentence)
{
    struct nrpc_status st;
    assert_int_equal(read_all(text, strlen(text), &st), -NRPC_INVALID_ARGUMENT);
    if (!strstr(st.text, sentence))
        fail_msg("\"%s\" instead of \"%s\"", st.text, sentence);
}

static void whole_archives_are_read(void **state)
{
    (void)state;
    struct nrpc_status st;
    static const char *const texts[] = {HEADER END(0), HEADER TASK END(1), HEADER TASK MORE MORE TASK END(2),
                                        HEADER "{\"group\":{\"name\":\"g\",\"quota\":5}}\n" END(0)};
    static const int counts[] = {2, 3, 6, 3};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(read_all(texts[i], strlen(texts[i]), &st), counts[i]);
}

static void damage_is_found(void **state)
{
    (void)state;
    refused("\n", "line 1: ");
    refused(TASK, "line 1: not the header");
    refused(HEADER HEADER, "line 2: a second header");
    refused("{\"header\":{\"format\":2}}\n", "line 1: the format");
    refused("{\"header\":{}}\n", "line 1: the format");
    refused(HEADER TASK, "line 3: the archive is cut off");
    refused(HEADER TASK "{\"end\":{\"tasks\":\"1\"}}", "line 3: is cut off");
    refused(HEADER TASK END(2), "line 3: tasks are missing");
    refused(HEADER END(0) TASK, "line 3: comes after the end");
    refused(HEADER MORE, "line 2: does not belong");
    refused(HEADER TASK "{\"more\":{\"taskId\":\"8\"}}\n", "line 3: does not belong");
    refused(HEADER "{\"task\":{\"status\":\"TASK_FAILED\"}}\n", "line 2: a task without id");
    refused(HEADER "{}\n", "line 2: nothing that this program knows");
    refused(HEADER "{\"task\":{\"id\":\"7\",\"status\":\"TASK_FAILD\"}}\n", "line 2: task.status: ");
    refused(HEADER "{\"task\":{\"id\":\"7\",\"param\":\"a?\"}}\n", "line 2: task.param: ");
    refused(HEADER "{\"task\":{\"id\":\"7\",\"name\":\"\xff\"}}\n", "line 2: ");
    refused(HEADER "{\"task\":{\"id\":\"7\",\"surname\":\"x\"}}\n", "line 2: ");
    refused(HEADER "{\"task\":{\"id\":\"7\"\n", "line 2: ");
}

static void every_cut_is_found(void **state)
{
    (void)state;
    static const char text[] = HEADER TASK MORE END(1);
    struct nrpc_status st;
    for (size_t size = 1; size < sizeof text - 1; size++)
        assert_int_equal(read_all(text, size, &st), -NRPC_INVALID_ARGUMENT);
}

static void a_line_is_bounded(void **state)
{
    (void)state;
    struct nrpc_status st;
    size_t size = LINES_BYTES_MAX + 10;
    char *text = malloc(size);
    memset(text, ' ', size);
    assert_int_equal(read_all(text, size, &st), -NRPC_INVALID_ARGUMENT);
    assert_string_equal(st.text, "line 1: is too long");
    free(text);
}

static void items_survive(void **state)
{
    (void)state;
    uint8_t bytes[256];
    char *text = NULL;
    size_t size = 0;
    struct nrpc_status st;
    struct lines l;
    Dtf__V1__ArchiveItem item = DTF__V1__ARCHIVE_ITEM__INIT, *back;
    Dtf__V1__ArchivedTask task = DTF__V1__ARCHIVED_TASK__INIT;
    Dtf__V1__ArchivedFailure failure = DTF__V1__ARCHIVED_FAILURE__INIT, *failures = &failure;
    Dtf__V1__Result result = DTF__V1__RESULT__INIT;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    item.item_case = DTF__V1__ARCHIVE_ITEM__ITEM_TASK;
    item.task = &task;
    task.id = INT64_MAX;
    task.creator_uid = UINT64_MAX;
    task.created_ms = INT64_MIN;
    task.status = DTF__V1__TASK_STATUS__TASK_TIMED_OUT;
    task.name = "\xf0\x9f\x98\x80 \"\\\n\t\x01\x7f\xe2\x80\xa8";
    task.param = (ProtobufCBinaryData){sizeof bytes, bytes};
    task.failures = &failures;
    task.n_failures = 1;
    failure.result = &result;
    result.code = INT32_MIN;
    result.body = task.param;
    lines_init(&l, NULL);
    FILE *f = open_memstream(&text, &size);
    fputs(HEADER, f);
    assert_int_equal(lines_print(&l, f, &item, &st), NRPC_OK);
    fclose(f);
    l.in = fmemopen(text, size, "r");
    assert_int_equal(lines_next(&l, &back, &st), NRPC_OK);
    assert_int_equal(lines_next(&l, &back, &st), NRPC_OK);
    uint8_t sent[2000], got[2000];
    size_t sent_bytes = dtf__v1__archive_item__pack(&item, sent);
    assert_int_equal(dtf__v1__archive_item__get_packed_size(back), sent_bytes);
    dtf__v1__archive_item__pack(back, got);
    assert_memory_equal(sent, got, sent_bytes);
    fclose(l.in);
    lines_fini(&l);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_archives_are_read), cmocka_unit_test(damage_is_found),
        cmocka_unit_test(every_cut_is_found),      cmocka_unit_test(a_line_is_bounded),
        cmocka_unit_test(items_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
