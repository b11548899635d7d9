// SPDX-License-Identifier: Apache-2.0
// schema_test.c: what a schema knows of rich.proto and legacy.proto; descriptors that contradict themselves.
#include "fixture.h"

#include "base/mem.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__EnumValueDescriptorProto value_proto;
typedef Google__Protobuf__OneofDescriptorProto oneof_proto;
typedef Google__Protobuf__ServiceDescriptorProto service_proto;
typedef Google__Protobuf__MethodDescriptorProto method_proto;
typedef Google__Protobuf__MessageOptions message_options;

static void test_lookup(void **state)
{
    (void)state;
    assert_string_equal(schema_message(rich, "rich.v1.Rich.Inner")->full_name, "rich.v1.Rich.Inner");
    assert_null(schema_message(rich, "rich.v1.Ric"));
    assert_null(schema_message(rich, "rich.v1.Rich.Inner.Level"));
    assert_null(schema_message(rich, ""));
    assert_string_equal(schema_enum(rich, "rich.v1.Rich.Inner.Level")->file->name, "rich.proto");
    assert_int_equal(schema_service(rich, "rich.v1.RichService")->method_count, 3);
    const struct schema_method *m = schema_method(rich, "rich.v1.RichService/Watch");
    assert_ptr_equal(m, schema_method(rich, "rich.v1.RichService.Watch"));
    assert_string_equal(m->input->full_name, "rich.v1.Tree");
    assert_ptr_equal(m->output, schema_message(rich, "rich.v1.Rich"));
    assert_true(m->server_streaming && !m->client_streaming);
    assert_true(schema_method(rich, "rich.v1.RichService/Push")->client_streaming);
    static const char *const none[] = {"rich.v1.RichService/No", "rich.v1.RichService", "Get", "", "/", "."};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_null(schema_method(rich, none[i]));
}

static void test_fields(void **state)
{
    (void)state;
    const struct schema_message *m = fixture_type("rich.v1.Rich");
    assert_int_equal(m->field_count, 9);
    assert_string_equal(schema_field(m, 500)->name, "inner");
    assert_null(schema_field(m, 9));
    assert_null(schema_field(m, 0));
    assert_null(schema_field(m, UINT32_MAX));
    assert_ptr_equal(schema_field_named(m, "wellKnown"), schema_field_named(m, "well_known"));
    const struct schema_field *f = schema_field_named(fixture_type("rich.v1.Lists"), "unpacked");
    assert_true(f->is_repeated && !f->is_packed && !f->has_presence);
    assert_true(schema_field_named(fixture_type("rich.v1.Lists"), "colors")->is_packed);
    f = schema_field_named(fixture_type("rich.v1.Optionals"), "color");
    assert_true(f->has_presence && !f->oneof);
    assert_string_equal(f->in_oneof, "_color");
    f = schema_field_named(fixture_type("rich.v1.Choice"), "anything");
    assert_string_equal(f->oneof, "kind");
    assert_int_equal(f->group, 0);
    f = schema_field_named(fixture_type("rich.v1.Maps"), "byInt32");
    assert_true(f->is_map && f->message->is_map_entry);
    f = schema_field_named(fixture_type("rich.legacy.Old"), "needed");
    assert_true(f->is_required && f->has_presence);
    assert_true(schema_field_named(f->parent, "packed")->is_packed);
}

static void test_values(void **state)
{
    (void)state;
    const struct schema_enum *e = schema_enum(rich, "rich.v1.Color");
    assert_string_equal(schema_value(e, 1)->name, "COLOR_RED");
    assert_string_equal(schema_value(e, -3)->name, "COLOR_NEGATIVE");
    assert_null(schema_value(e, 2));
    assert_null(schema_value(e, 8));
    assert_int_equal(schema_value_named(e, "COLOR_CRIMSON")->number, 1);
    assert_null(schema_value_named(e, "COLOR"));
}

// ---- descriptors that are wrong: one file of one message of two fields, one enum, one service

struct parts {
    field_proto first, second;
    field_proto *fields[2];
    oneof_proto oneof;
    oneof_proto *oneofs[1];
    message_options message_options;
    message_proto message;
    message_proto *messages[1];
    value_proto value;
    value_proto *values[1];
    enum_proto enumeration;
    enum_proto *enums[1];
    method_proto method;
    method_proto *methods[1];
    service_proto service;
    service_proto *services[1];
    file_proto file;
};

static void init_field(field_proto *f, char *name, int number)
{
    google__protobuf__field_descriptor_proto__init(f);
    f->name = name;
    f->has_number = f->has_type = f->has_label = true;
    f->number = number;
    f->type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_INT32;
    f->label = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_OPTIONAL;
}

static void parts_init(struct parts *p)
{
    init_field(&p->first, "first", 1);
    init_field(&p->second, "second", 2);
    p->fields[0] = &p->first, p->fields[1] = &p->second;
    google__protobuf__oneof_descriptor_proto__init(&p->oneof);
    p->oneof.name = "choice";
    p->oneofs[0] = &p->oneof;
    google__protobuf__message_options__init(&p->message_options);
    google__protobuf__descriptor_proto__init(&p->message);
    p->message.name = "M";
    p->message.n_field = 2, p->message.field = p->fields;
    p->message.n_oneof_decl = 1, p->message.oneof_decl = p->oneofs;
    p->message.options = &p->message_options;
    p->messages[0] = &p->message;
    google__protobuf__enum_value_descriptor_proto__init(&p->value);
    p->value.name = "ZERO", p->value.has_number = true;
    p->values[0] = &p->value;
    google__protobuf__enum_descriptor_proto__init(&p->enumeration);
    p->enumeration.name = "E";
    p->enumeration.n_value = 1, p->enumeration.value = p->values;
    p->enums[0] = &p->enumeration;
    google__protobuf__method_descriptor_proto__init(&p->method);
    p->method.name = "Do", p->method.input_type = p->method.output_type = ".p.M";
    p->methods[0] = &p->method;
    google__protobuf__service_descriptor_proto__init(&p->service);
    p->service.name = "S";
    p->service.n_method = 1, p->service.method = p->methods;
    p->services[0] = &p->service;
    google__protobuf__file_descriptor_proto__init(&p->file);
    p->file.name = "p.proto", p->file.package = "p", p->file.syntax = "proto3";
    p->file.n_message_type = 1, p->file.message_type = p->messages;
    p->file.n_enum_type = 1, p->file.enum_type = p->enums;
    p->file.n_service = 1, p->file.service = p->services;
}

static ProtobufCBinaryData pack(const file_proto *file)
{
    ProtobufCBinaryData out = {.data = mem_alloc(protobuf_c_message_get_packed_size(&file->base))};
    out.len = google__protobuf__file_descriptor_proto__pack(file, out.data);
    return out;
}

static int create(const struct parts *p, struct schema **out, struct nrpc_status *st)
{
    ProtobufCBinaryData bytes = pack(&p->file);
    int code = schema_create(&bytes, 1, out, st);
    free(bytes.data);
    return code;
}

static void refuse(const struct parts *p, const char *problem)
{
    struct nrpc_status st = {.code = -1};
    struct schema *s = NULL;
    int code = create(p, &s, &st);
    if (code == NRPC_OK || !strstr(st.text, problem))
        fail_msg("wanted \"%s\", got \"%s\"", problem, st.text);
    assert_null(s);
}

#define REFUSE(problem, ...)                                                                                 \
    do {                                                                                                     \
        struct parts p;                                                                                      \
        parts_init(&p);                                                                                      \
        __VA_ARGS__;                                                                                         \
        refuse(&p, problem);                                                                                 \
    } while (0)

static void test_wrong_files(void **state)
{
    (void)state;
    char long_name[600];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    REFUSE("has no name", p.file.name = NULL);
    REFUSE("its syntax \"editions\" is neither", p.file.syntax = "editions");
    REFUSE("no name of a package", p.file.package = "a..b");
    REFUSE("no name of a package", p.file.package = "a.");
    REFUSE("no name of a package", p.file.package = "a b");
    REFUSE("no name of a package", p.file.package = long_name);
    REFUSE("has no proper name", p.message.name = NULL);
    REFUSE("has no proper name", p.message.name = "a.b");
    REFUSE("has no proper name", p.message.name = "1a");
    REFUSE("too long names", p.message.name = long_name);
    REFUSE("has no proper name", p.enumeration.name = "");
    REFUSE("has no proper name", p.service.name = NULL);
    REFUSE("has no proper name", p.method.name = NULL);
}

static void test_wrong_definitions(void **state)
{
    (void)state;
    REFUSE("p.M: a field has no name", p.first.name = NULL);
    REFUSE("p.M.first: its number is out of range", p.first.number = 0);
    REFUSE("p.M.first: its number is out of range", p.first.number = -1);
    REFUSE("p.M.first: its number is out of range", p.first.number = 1 << 29);
    REFUSE("p.M.first: its number is out of range", p.first.has_number = false);
    REFUSE("p.M.first: its type is unknown", p.first.has_type = false);
    REFUSE("p.M.first: its type is unknown", p.first.type = 19);
    REFUSE("p.M.first: its type is unknown", p.first.type = -1);
    REFUSE("p.M.first: its label is unknown", p.first.label = 4);
    REFUSE("another field's too", p.first.number = 2);
    REFUSE("p.M.second: two fields have this name", p.first.name = "second");
    REFUSE("p.M.x: two fields have this name", p.first.json_name = "x", p.second.json_name = "x");
    REFUSE("p.M.second: two fields have this name", p.first.json_name = "second");
    REFUSE("its oneof does not exist", p.first.has_oneof_index = true, p.first.oneof_index = 1);
    REFUSE("its oneof does not exist", p.first.has_oneof_index = true, p.first.oneof_index = -1);
    REFUSE("its oneof has no name", p.first.has_oneof_index = true, p.oneof.name = NULL);
    REFUSE("cannot be in a oneof", p.first.has_oneof_index = true,
           p.first.label = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED);
    REFUSE("p.E: it has no values", p.enumeration.n_value = 0);
    REFUSE("p.E: a value has no name", p.value.name = NULL);
    REFUSE("p.E: a value has no name", p.value.has_number = false);
    REFUSE("p.S.Do: its request or response", p.method.input_type = ".p.N");
    REFUSE("p.S.Do: its request or response", p.method.output_type = "p.M");
    REFUSE("p.S.Do: its request or response", p.method.input_type = NULL);
}

static void test_wrong_references(void **state)
{
    (void)state;
    const Google__Protobuf__FieldDescriptorProto__Type
        message = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE,
        enumeration = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_ENUM;
    REFUSE("p.M.first: its type has no full name", p.first.type = message);
    REFUSE("p.M.first: its type has no full name", p.first.type = message, p.first.type_name = "M");
    REFUSE("p.M.first: its type is in none", p.first.type = message, p.first.type_name = ".p.N");
    REFUSE("p.M.first: its type is in none", p.first.type = message, p.first.type_name = ".p.E");
    REFUSE("p.M.first: its type is in none", p.first.type = enumeration, p.first.type_name = ".p.M");
    REFUSE("p.M.first: this is no proper map",
           p.message_options.has_map_entry = p.message_options.map_entry = true, p.first.type = message,
           p.first.type_name = ".p.M");
    REFUSE("google.protobuf.Timestamp: this is not the message", p.message.name = "Timestamp",
           p.file.package = "google.protobuf", p.file.n_service = 0);
    REFUSE("google.protobuf.Struct: this is not the message", p.message.name = "Struct",
           p.file.package = "google.protobuf", p.file.n_service = 0);
}

static void test_several_files(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct schema *s = NULL;
    struct parts p, q;
    parts_init(&p);
    parts_init(&q);
    q.file.name = "q.proto", q.file.package = "q";
    q.first.type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_ENUM;
    q.first.type_name = ".p.E";
    ProtobufCBinaryData files[] = {pack(&q.file), pack(&p.file), pack(&p.file)};
    assert_int_equal(schema_create(files, 3, &s, &st), NRPC_OK); // in any order, and twice
    assert_int_equal(s->file_count, 2);
    assert_string_equal(schema_message(s, "q.M")->fields[0].enumeration->full_name, "p.E");
    schema_destroy(s);
    s = NULL;
    assert_int_equal(schema_create(files, 1, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "q.M.first: its type is in none of the files"));
    free(files[2].data);
    p.first.number = 7;
    files[2] = pack(&p.file);
    assert_int_equal(schema_create(files, 3, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_string_equal(st.text, "p.proto: there are two different files of this name");
    free(files[2].data);
    p.file.name = "other.proto";
    files[2] = pack(&p.file);
    assert_int_equal(schema_create(files, 3, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "is defined twice"));
    assert_null(s);
    for (size_t i = 0; i < 3; i++)
        free(files[i].data);
}

static void test_json_names(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct schema *s;
    struct parts p;
    parts_init(&p);
    p.first.name = "a_b__c9_dE_", p.second.json_name = "";
    assert_int_equal(create(&p, &s, &st), NRPC_OK);
    assert_string_equal(schema_message(s, "p.M")->fields[0].json_name, "aBC9DE");
    assert_string_equal(schema_message(s, "p.M")->fields[1].json_name, "second");
    schema_destroy(s);
}

// ---- bytes that are wrong

static void test_no_descriptors(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct schema *s = NULL;
    assert_int_equal(schema_create(NULL, 0, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(schema_create_from_set("", 0, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_string_equal(st.text, "there are no descriptors");
    assert_int_equal(schema_create_from_set("\x0a\x05", 2, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(schema_create_from_set("\x0a\x02\x0a\x05", 4, &s, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(schema_create_from_set("", SCHEMA_BYTES_MAX + 1, &s, &st), NRPC_RESOURCE_EXHAUSTED);
    assert_null(s);
    schema_destroy(NULL);
}

// A message in a message in a message: protobuf-c would follow to the end of the stack.
static void test_nesting(void **state)
{
    (void)state;
    enum { LEVELS = 100000, BYTES = LEVELS * 8 };
    struct nrpc_status st;
    struct schema *s = NULL;
    uint8_t *all = mem_alloc(BYTES);
    size_t begin = BYTES, size = 0;
    for (int i = 0; i <= LEVELS; i++) { // from the innermost outwards
        uint8_t length[6];
        size_t n = 0;
        for (size_t v = size; n == 0 || v > 0; v >>= 7)
            length[n++] = (uint8_t)((v & 0x7f) | (v >= 0x80 ? 0x80 : 0));
        begin -= n + 1;
        all[begin] = i == LEVELS ? 0x22 : 0x1a; // message_type of the file, nested_type of a message
        memcpy(all + begin + 1, length, n);
        size += n + 1;
    }
    ProtobufCBinaryData file = {.len = size, .data = all + begin};
    assert_int_equal(schema_create(&file, 1, &s, &st), NRPC_INVALID_ARGUMENT);
    free(all);
}

// Cut off anywhere, or with any byte changed: built or refused, and then destroyed or not there.
static void test_damaged(void **state)
{
    (void)state;
    size_t size;
    unsigned char *set = fixture_read_set(&size);
    for (size_t i = 0; i < 2 * size; i += 3) {
        struct nrpc_status st = {.code = -1};
        struct schema *s = NULL;
        unsigned char kept = set[i / 2];
        set[i / 2] ^= i % 2 ? 0xff : 1 << (i / 2 % 8);
        int code = schema_create_from_set(set, size, &s, &st);
        set[i / 2] = kept;
        assert_int_equal(code, st.code);
        assert_int_equal(code == NRPC_OK, s != NULL);
        schema_destroy(s);
    }
    for (size_t i = 0; i < size; i += 7) {
        struct nrpc_status st;
        struct schema *s = NULL;
        schema_create_from_set(set, i, &s, &st);
        schema_destroy(s);
    }
    free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_wrong_definitions),
        cmocka_unit_test(test_wrong_references),
        cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_json_names),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
