// SPDX-License-Identifier: Apache-2.0
// cli.c: messages, values of options, the channel.
#include "cli.h"

#include "base/mem.h"
#include "cli/duration.h"
#include "cli/text.h"
#include "nrpc/interceptors/bearer.h"
#include "nrpc/json/base64.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUERY_MS = 10000, DEADLINE_MAX_MS = 1000 * 86400, TOKEN_MAX = 8192 };

// ---- messages

static void say(const char *prefix, const char *text)
{
    fputs("nrpc: ", stderr);
    if (*prefix)
        fprintf(stderr, "%s: ", prefix);
    text_print(stderr, text, strlen(text));
    fputc('\n', stderr);
}

int cli_fail(const struct cli *cli, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(cli->command ? cli->command->name : "", text);
    return CLI_FAILED;
}

int cli_rpc_fail(const struct nrpc_status *st)
{
    say(nrpc_code_name(st->code), st->text);
    return CLI_RPC + (st->code > 0 && st->code <= NRPC_UNAUTHENTICATED ? st->code : NRPC_UNKNOWN);
}

// ---- values of options

static bool is_binary(const char *key)
{
    size_t n = strlen(key);
    return n > 4 && !strcmp(key + n - 4, "-bin");
}

int cli_add_header(struct cli *cli, const char *text)
{
    const char *colon = strchr(text, ':');
    if (!colon || colon == text)
        return cli_fail(cli, "-H %s: give it as 'key: value'", text);
    char *key = arena_strdup(&cli->memory, text);
    key[colon - text] = 0;
    char *value = key + (colon - text) + 1;
    value += strspn(value, " \t");
    struct nrpc_metadata m = {.key = key, .value = value};
    if (is_binary(key)) {
        size_t length = strlen(value);
        unsigned char *bytes = arena_calloc(&cli->memory, length / 4 * 3 + 4);
        m.value = (char *)bytes;
        if (!base64_decode(value, length, bytes, &m.value_bytes))
            return cli_fail(cli, "-H %s: the value of a key that ends in -bin is given as base64", text);
    }
    mem_grow(&cli->headers, &cli->header_capacity, cli->header_count + 1, sizeof *cli->headers);
    cli->headers[cli->header_count++] = m;
    return CLI_OK;
}

int cli_set_deadline(struct cli *cli, const char *text)
{
    if (duration_parse(text, &cli->deadline_ms) && cli->deadline_ms > 0 &&
        cli->deadline_ms <= DEADLINE_MAX_MS)
        return CLI_OK;
    return cli_fail(cli, "--deadline %s: give a number with ms, s, m, h or d, such as 2s", text);
}

// ---- the channel

// The first line of the file.
static int read_token(struct cli *cli, char token[TOKEN_MAX])
{
    FILE *f = fopen(cli->token_file, "re");
    if (!f)
        return cli_fail(cli, "--token-file %s: %m", cli->token_file);
    bool is_read = fgets(token, TOKEN_MAX, f);
    (void)fclose(f);
    if (!is_read)
        return cli_fail(cli, "--token-file %s: it holds no token", cli->token_file);
    token[strcspn(token, " \t\r\n")] = 0;
    return CLI_OK;
}

int cli_connect(struct cli *cli)
{
    char token[TOKEN_MAX];
    struct nrpc_status st;
    int exit_code = cli->token_file ? read_token(cli, token) : CLI_OK;
    if (exit_code)
        return exit_code;
    cli->bearer = nrpc_bearer_create(cli->token_file ? token : cli->token);
    struct nrpc_client_interceptor bearer = nrpc_bearer_interceptor(cli->bearer);
    struct nrpc_channel_options o = {
        .max_message_bytes = CLI_MESSAGE_MAX,
        .tls = &cli->tls,
        .interceptors = &bearer,
        .interceptor_count = 1,
    };
    if (nrpc_channel_open(cli->url, &o, &cli->channel, &st))
        return cli_fail(cli, "%s", st.text);
    return CLI_OK;
}

void cli_close(struct cli *cli)
{
    nrpc_channel_close(cli->channel);
    nrpc_bearer_destroy(cli->bearer);
    free(cli->headers);
    arena_fini(&cli->memory);
}

struct nrpc_call_options cli_query(const struct cli *cli)
{
    return (struct nrpc_call_options){
        .timeout_ms = cli->deadline_ms ? cli->deadline_ms : QUERY_MS,
        .metadata = cli->headers,
        .metadata_count = cli->header_count,
    };
}
