// SPDX-License-Identifier: Apache-2.0
// table.h: rows of text in aligned columns. Cells are shown safely, whatever bytes are in them.
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table {
    size_t columns;
    char **cells; // row by row; the first row is the heading
    size_t count, capacity;
    const char *heading;
};

// heading: column names separated by spaces; a name that starts with '>' is aligned to the right.
void table_init(struct table *t, const char *heading);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_print(const struct table *t, FILE *f);
void table_fini(struct table *t);

#endif
