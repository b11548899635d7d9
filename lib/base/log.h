// SPDX-License-Identifier: Apache-2.0
// log.h: one line per event on stderr, or wherever the host program wants it. Any thread.
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

typedef void (*log_sink_fn)(enum log_level level, const char *line, void *user);

void log_set_level(enum log_level least);        // default LOG_WARN
void log_set_sink(log_sink_fn sink, void *user); // NULL: stderr again; set before threads start
int log_level_parse(const char *name,
                    enum log_level *out); // "debug" "info" "warn" "error"; 0, or -1 if unknown

// A line over 1,000 bytes is cut; control bytes in it are shown as '?', so that a name cannot forge a line.
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
