// SPDX-License-Identifier: Apache-2.0
// cli.h: what all commands of the program share: options, messages, exit codes, the connection.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "dtf.h"

#include <getopt.h>

enum cli_exit { // cli.c says what they mean
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_REACHED = 3,
    CLI_NOT_YET = 4,
    CLI_SIGNAL = 128, // and its number
};

enum cli_output { CLI_TABLE, CLI_JSON, CLI_QUIET };

struct cli_command;

struct cli { // handed to every command
    const struct cli_command *command;
    const char *server; // NULL: none given
    enum cli_output output;
    int64_t patience_ms; // with a server that cannot be reached; -1: not given
    int exit_code;       // when cli_option returned CLI_OPTION_STOP
};

struct cli_command {
    const char *name, *synopsis, *summary;
    const char *help; // its own options and what else is to say; NULL: nothing
    // Its arguments without its own name at argv[0]; returns the exit code.
    int (*run)(struct cli *cli, int argc, char **argv);
};

int map_command(struct cli *cli, int argc, char **argv);     // map.c
int submit_command(struct cli *cli, int argc, char **argv);  // submit.c
int status_command(struct cli *cli, int argc, char **argv);  // status.c
int list_command(struct cli *cli, int argc, char **argv);    //
int wait_command(struct cli *cli, int argc, char **argv);    //
int pause_command(struct cli *cli, int argc, char **argv);   // control.c
int resume_command(struct cli *cli, int argc, char **argv);  //
int cancel_command(struct cli *cli, int argc, char **argv);  //
int results_command(struct cli *cli, int argc, char **argv); // results.c
int nodes_command(struct cli *cli, int argc, char **argv);   // nodes.c
int group_command(struct cli *cli, int argc, char **argv);   //
int export_command(struct cli *cli, int argc, char **argv);  // archive.c
int import_command(struct cli *cli, int argc, char **argv);  //

extern const char map_help[], submit_help[], results_help[], export_help[], import_help[];

// ---- options

#define CLI_COMMON_SHORT "hq"
#define CLI_COMMON_LONG                                                                                      \
    {"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'},                                     \
        {"server", required_argument, NULL, 'S'}, {"output", required_argument, NULL, 'O'},                  \
        {"patience", required_argument, NULL, 'P'},                                                          \
    {                                                                                                        \
        NULL, 0, NULL, 0                                                                                     \
    }

enum { CLI_OPTION_END = -1, CLI_OPTION_STOP = -2 };

// The next option of the command's own, with its argument in optarg; the common ones are taken care of.
// shorts as getopt_long's, begins with ":" or "+:"; longs ends with CLI_COMMON_LONG. CLI_OPTION_STOP: return
// cli->exit_code.
int cli_option(struct cli *cli, int argc, char **argv, const char *shorts, const struct option *longs);

// Values of options: false after having said what is wrong with them.
bool cli_duration(struct cli *cli, const char *option, const char *text, int64_t max_ms, int64_t *ms);
bool cli_number(struct cli *cli, const char *option, const char *text, uint64_t min, uint64_t max,
                uint64_t *out);

// Takes all options of a command that has none of its own, and its operands. False: return cli->exit_code.
bool cli_operands(struct cli *cli, int argc, char **argv, int min, int max);
// The operand `text` as a task's id. False: return cli->exit_code.
bool cli_task_id(struct cli *cli, const char *text, uint64_t *id);

// ---- messages: one line on stderr, "dtf: ..."; control characters are shown as '?'

void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_usage(struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));  // returns CLI_USAGE
int cli_fail(const struct nrpc_status *st); // returns CLI_FAILED, or CLI_NOT_REACHED
bool cli_is_not_reached(int code);          // nothing has failed, but nothing could be done
void cli_print_help(const struct cli_command *command);
void cli_print_exit_codes(void);

// ---- the rest

enum { CLI_PATIENCE_MS = 60000 }; // unless another is given

// A client of the server that was given, with the patience that was; CLI_USAGE if none was. It connects when
// it is used.
int cli_connect(struct cli *cli, struct dtf_client **client);
// Waits, by its patience, until the server answers: for calls that are not made again.
int cli_reach(struct dtf_client *client);

// The user that runs this program, as creator of tasks.
const char *cli_creator(void);

#endif
