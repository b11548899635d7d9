// SPDX-License-Identifier: Apache-2.0
// wellknown.h: the text forms of google.protobuf.Timestamp, Duration and FieldMask. Pure functions; false
// means that there is no such form, or no such value.
#ifndef NRPC_JSON_WELLKNOWN_H
#define NRPC_JSON_WELLKNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WELLKNOWN_TEXT_MAX = 48 };

// out has room for WELLKNOWN_TEXT_MAX. Seconds and nanos are each taken as the messages have them.
bool timestamp_to_text(int64_t seconds, int32_t nanos, char *out); // "2026-11-22T10:51:31.250Z"
bool timestamp_from_text(const char *text, int64_t *seconds, int32_t *nanos);
bool duration_to_text(int64_t seconds, int32_t nanos, char *out); // "-1.500s"
bool duration_from_text(const char *text, int64_t *seconds, int32_t *nanos);

// One path of a mask between "max_jobs" and "maxJobs". out has room for twice the size; no NUL.
bool mask_to_text(const char *path, size_t size, char *out, size_t *out_size);
bool mask_from_text(const char *text, size_t size, char *out, size_t *out_size);

#endif
