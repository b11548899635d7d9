// SPDX-License-Identifier: Apache-2.0
// describe.c: the commands `list` and `describe`.
#include "cli.h"

#include "cli/text.h"
#include "proto_text.h"
#include "source.h"

#include <stdio.h>
#include <string.h>

// ---- list

static void print_line(const char *text)
{
    text_print(stdout, text, strlen(text));
    putchar('\n');
}

static int list_services(struct source *source)
{
    char **names;
    size_t count;
    struct nrpc_status st;
    if (source_services(source, &names, &count, &st))
        return cli_rpc_fail(&st);
    for (size_t i = 0; i < count; i++)
        print_line(names[i]);
    source_free_names(names, count);
    return CLI_OK;
}

static int list_methods(struct source *source, const char *name)
{
    struct nrpc_status st;
    if (source_add(source, name, &st))
        return cli_rpc_fail(&st);
    const struct schema_service *s = schema_service(source_schema(source), name);
    if (!s)
        return cli_fail(source->cli, "there is no service %s", name);
    for (size_t i = 0; i < s->method_count; i++)
        printf("%s/%s\n", s->full_name, s->methods[i].name);
    return CLI_OK;
}

int list_command(struct cli *cli)
{
    struct source source;
    int exit_code = source_open(&source, cli);
    if (!exit_code)
        exit_code = cli->operand_count ? list_methods(&source, cli->operands[0]) : list_services(&source);
    source_close(&source);
    return exit_code;
}

// ---- describe

// The service that a method's full name begins with.
static const struct schema_service *service_of(const struct schema *schema, const char *method)
{
    char name[SCHEMA_NAME_MAX + 1];
    size_t length = (size_t)(strrchr(method, strchr(method, '/') ? '/' : '.') - method);
    snprintf(name, sizeof name, "%.*s", (int)length, method);
    return schema_service(schema, name);
}

// False: there is no such thing.
static bool describe(const struct schema *schema, const char *symbol)
{
    const struct schema_service *service = schema_service(schema, symbol);
    const struct schema_message *message = schema_message(schema, symbol);
    const struct schema_enum *enumeration = schema_enum(schema, symbol);
    const struct schema_method *method = schema_method(schema, symbol);
    if (service)
        proto_text_service(stdout, service);
    else if (message)
        proto_text_message(stdout, message);
    else if (enumeration)
        proto_text_enum(stdout, enumeration);
    else if (method)
        proto_text_method(stdout, service_of(schema, symbol), method);
    return service || message || enumeration || method;
}

static int describe_symbol(struct source *source, char *symbol)
{
    struct nrpc_status st;
    char *slash = strchr(symbol, '/'); // of a method's name as it is called
    if (slash)
        *slash = '.';
    if (source_add(source, symbol, &st))
        return cli_rpc_fail(&st);
    if (!describe(source_schema(source), symbol))
        return cli_fail(source->cli, "there is no service, method, message or enum %s", symbol);
    return CLI_OK;
}

static int describe_all(struct source *source)
{
    struct nrpc_status st;
    char **names;
    size_t count;
    if (source_add_all(source, &st) || source_services(source, &names, &count, &st))
        return cli_rpc_fail(&st);
    for (size_t i = 0; i < count; i++) {
        const struct schema_service *s = schema_service(source_schema(source), names[i]);
        if (i)
            putchar('\n');
        fputs("// ", stdout);
        print_line(names[i]);
        if (s)
            proto_text_service(stdout, s);
    }
    source_free_names(names, count);
    return CLI_OK;
}

int describe_command(struct cli *cli)
{
    struct source source;
    int exit_code = source_open(&source, cli);
    if (!exit_code)
        exit_code = cli->operand_count ? describe_symbol(&source, cli->operands[0]) : describe_all(&source);
    source_close(&source);
    return exit_code;
}
