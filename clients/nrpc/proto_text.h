// SPDX-License-Identifier: Apache-2.0
// proto_text.h: definitions as a .proto file has them.
#ifndef NRPC_CLI_PROTO_TEXT_H
#define NRPC_CLI_PROTO_TEXT_H

#include "nrpc/json/schema.h"

#include <stdio.h>

// Names of types are full. What a message or service has inside comes with it, fields by number; comments,
// defaults and most options do not.
void proto_text_service(FILE *f, const struct schema_service *service);
void proto_text_method(FILE *f, const struct schema_service *service, const struct schema_method *method);
void proto_text_message(FILE *f, const struct schema_message *message);
void proto_text_enum(FILE *f, const struct schema_enum *enumeration);

#endif
