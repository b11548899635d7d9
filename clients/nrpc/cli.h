// SPDX-License-Identifier: Apache-2.0
// cli.h: what all commands of the program share: options, messages, exit codes, the channel.
#ifndef NRPC_CLI_CLI_H
#define NRPC_CLI_CLI_H

#include "base/mem.h"
#include "nrpc/nrpc.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, // wrong usage, or trouble on this side
    CLI_RPC = 64,   // and the status code: the server, or the way there, said no
    CLI_INTERRUPTED = 130,
};

enum { CLI_MESSAGE_MAX = 64 << 20, CLI_TEXT_MAX = 256 << 20 }; // bytes; of a message, and of its JSON

struct nrpc_bearer;

struct cli { // handed to every command
    const struct cli_command *command;
    const char *url;
    char **operands; // behind the url
    int operand_count;

    const char *data, *token, *token_file, *proto_set; // NULL: not given
    struct nrpc_tls_options tls;
    struct nrpc_metadata *headers;
    size_t header_count, header_capacity;
    int64_t deadline_ms; // 0: none
    bool emit_defaults, compact, verbose, watch;

    struct arena memory; // of values of options
    struct nrpc_channel *channel;
    struct nrpc_bearer *bearer;
};

struct cli_command {
    const char *name, *synopsis, *summary;
    const char *takes; // the letters of the options that not all commands take
    const char *help;
    int operands_min, operands_max; // with the url
    int (*run)(struct cli *cli);    // returns the exit code
};

int list_command(struct cli *cli);     // describe.c
int describe_command(struct cli *cli); //
int call_command(struct cli *cli);     // call.c
int health_command(struct cli *cli);   // health.c
int stats_command(struct cli *cli);    // stats.c

// Take the values of options. CLI_OK, or what was said to be wrong.
int cli_add_header(struct cli *cli, const char *text); // "key: value"
int cli_set_deadline(struct cli *cli, const char *text);

int cli_connect(struct cli *cli);
void cli_close(struct cli *cli);

// For calls that serve to find out something: with a deadline in any case.
struct nrpc_call_options cli_query(const struct cli *cli);

// ---- messages: one line on stderr, "nrpc: ..."; what could steer the terminal is shown as '?'

int cli_fail(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));      // returns CLI_FAILED
int cli_rpc_fail(const struct nrpc_status *st); // "nrpc: NOT_FOUND: ..."; returns CLI_RPC + code

#endif
