// SPDX-License-Identifier: Apache-2.0
// manifest.h: the file that lists all digests, as `sha256sum -c` reads it.
#ifndef CHECKSUM_MANIFEST_H
#define CHECKSUM_MANIFEST_H

#include "files/report.h"

// The files come in the order of the subtasks' numbers, which is that of their paths (walk.h).
extern const struct report_format manifest_format;

#endif
