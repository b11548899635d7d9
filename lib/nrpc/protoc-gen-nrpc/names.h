// SPDX-License-Identifier: Apache-2.0
// names.h: how names in a .proto file become names in C: protobuf-c's way, and ours. Pure functions.
#ifndef PROTOC_GEN_NRPC_NAMES_H
#define PROTOC_GEN_NRPC_NAMES_H

#include "base/mem.h"

#include <stdbool.h>

// What protobuf-c 1.4 makes of a full name, to the letter:
char *names_pbc_type(struct arena *a, const char *full_name);  // "a.b_c.GetURL": "A__BC__GetURL"
char *names_pbc_lower(struct arena *a, const char *full_name); // "a.b_c.GetURL": "a__b_c__get_url"
char *names_pbc_member(struct arena *a, const char *field);    // "sizeOf": "sizeof_"
char *names_pbc_stem(struct arena *a, const char *proto);      // "a/b.proto": "a/b" (then ".pb-c.h")

// Ours: "dtf.v1.HTTPServer" is dtf_v1_http_server, "GetURL" get_url, "ListIDs" list_ids (upper: LIST_IDS).
char *names_snake(struct arena *a, const char *name);
char *names_upper(struct arena *a, const char *name);

// A part of a C name for a file, which no other file has: "a/b_c" is a_2fb_5fc.
char *names_of_file(struct arena *a, const char *stem);

// Whether a C compiler keeps this word for itself, or a C or C++ compiler.
bool names_is_word_of_c(const char *word);
bool names_is_reserved(const char *word);

#endif
