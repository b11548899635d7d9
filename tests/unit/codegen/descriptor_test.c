// SPDX-License-Identifier: Apache-2.0
// descriptor_test.c: the embedded descriptors are, byte for byte, those of protoc --descriptor_set_out.
// usage: codegen_descriptor_test <what protoc --include_imports wrote>
#include "bare.nrpc.h"
#include "names.nrpc.h"
#include "renamed.nrpc.h"
#include "rich/v1/rich.nrpc.h"
#include "shop/v1/order.nrpc.h"
#include "stream.nrpc.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SET_BYTES_MAX = 1 << 20, FILES_MAX = 100 };

static uint8_t set[SET_BYTES_MAX];
static struct {
    const uint8_t *at;
    size_t bytes;
    bool is_embedded;
} files[FILES_MAX]; // as they are in the set
static size_t file_count;

static size_t read_varint(const uint8_t **at)
{
    size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (size_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
}

static int read_set(const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return -1;
    size_t size = fread(set, 1, sizeof set, in);
    fclose(in);
    for (const uint8_t *at = set; at < set + size && file_count < FILES_MAX;) {
        read_varint(&at); // FileDescriptorSet.file
        size_t bytes = read_varint(&at);
        files[file_count].at = at;
        files[file_count++].bytes = bytes;
        at += bytes;
    }
    return file_count > 0 ? 0 : -1;
}

// It and what it imports.
static void check_file(const struct nrpc_file *file)
{
    size_t i = 0;
    while (i < file_count && (files[i].bytes != file->descriptor_bytes ||
                              memcmp(files[i].at, file->descriptor, file->descriptor_bytes) != 0))
        i++;
    if (i == file_count)
        fail_msg("%s is not what protoc writes", file->name);
    if (files[i].is_embedded)
        return;
    files[i].is_embedded = true;
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, file->descriptor_bytes, file->descriptor);
    assert_non_null(proto);
    assert_string_equal(proto->name, file->name);
    size_t imports = 0;
    for (; file->imports[imports]; imports++)
        check_file(file->imports[imports]);
    assert_int_equal(imports, proto->n_dependency);
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
}

static void test_descriptors_are_protocs(void **state)
{
    (void)state;
    check_file(rich_v1_rich_service.file);
    check_file(shop_v1_order_service.file);
    check_file(shop_v1_audit_service.file);
    check_file(my_pkg_v1_beta_http_stuff_idle.file);
    check_file(echo.file);
    check_file(far_away_shelf.file);
    check_file(stream_numbers.file);
    for (size_t i = 0; i < file_count; i++)
        assert_true(files[i].is_embedded);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_are_protocs),
    };
    if (argc != 2 || read_set(argv[1]) != 0) {
        fprintf(stderr, "usage: %s <descriptor set>\n", argv[0]);
        return 2;
    }
    return cmocka_run_group_tests_name("codegen descriptors", tests, NULL, NULL);
}
