# SPDX-License-Identifier: Apache-2.0
"""Reads the tables of functions in state.h and records.h and writes C: a table like each that forwards every
operation and says before and after it where it is, and the names of all operations.

usage: wrap.py STATE.H RECORDS.H OUTPUT.C NAMES.H"""
import re
import sys

OPERATION = re.compile(r"([\w ]+?\**)\s*\(\*(\w+)\)\((.*?)\);", re.S)
TABLES = ("state", "records")


def operations(path, table):
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"//[^\n]*", "", f.read())
    body = re.search(r"struct %s_ops \{(.*?)\n\};" % table, text, re.S).group(1)
    found = [tuple(" ".join(part.split()) for part in m) for m in OPERATION.findall(body)]
    if len(found) != body.count(";"):
        sys.exit(f"{path}: {body.count(';')} members, {len(found)} understood")
    return found


def forward(table, number, returns, name, parameters):
    arguments = ", ".join(re.search(r"(\w+)$", p).group(1) for p in parameters.split(","))
    call = f"real_{table}->{name}({arguments})"
    body = [f"failpoint_reach({number}, false);"]
    body.append(f"{call};" if returns == "void" else f"{returns} result = {call};")
    body.append(f"failpoint_reach({number}, true);")
    body += [] if returns == "void" else ["return result;"]
    lines = "\n    ".join(body)
    return f"static {returns} {table}_{name}({parameters})\n{{\n    {lines}\n}}\n"


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write("// Made by wrap.py.\n" + text)


def main(state, records, output, names):
    code, all_names = '#include "failpoints/failpoint.h"\n', []
    for table, path in zip(TABLES, (state, records)):
        members = []
        code += f"\nstatic const struct {table}_ops *real_{table};\n\n"
        for returns, name, parameters in operations(path, table):
            code += forward(table, len(all_names), returns, name, parameters) + "\n"
            members.append(f"    .{name} = {table}_{name},\n")
            all_names.append(f"{table}.{name}")
        code += (f"static const struct {table}_ops {table}_wrapped = {{\n{''.join(members)}}};\n\n"
                 f"void failpoint_wrap_{table}(struct {table} *s)\n"
                 f"{{\n    real_{table} = s->ops;\n    s->ops = &{table}_wrapped;\n}}\n")
    write(output, code)
    write(names, "static const char *const operation_names[] = {\n"
          + "".join(f'    "{n}",\n' for n in all_names) + f"}};\nenum {{ OPERATIONS = {len(all_names)} }};\n")


main(*sys.argv[1:])
