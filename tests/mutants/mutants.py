# SPDX-License-Identifier: Apache-2.0
"""Plants the faults of list.txt, one at a time, in a worktree of its own, and tells which tests notice.

usage: mutants.py [--miss N] [--keep DIRECTORY] [--own] [NAME]...

NAME is a mutant's, or the beginning of some. The exit status is 0 if all but N (2) were caught. A mutant's text
must occur exactly once in its file, or the run fails: the list has to follow the sources. The worktree is of
HEAD; with DIRECTORY it is kept, and used again by another run, which then builds little. With --own only the
tests are run that the list names, not what else is quick."""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TEST_S = 400  # a test that takes longer hangs
# What is run when a mutant's own tests have not noticed it: what is quick and starts few servers.
REST = (r"^unit/(model|executor|wall|base|sched|nrpc/|events)|^sim/"
        r"|^contract/(state_sqlite|state_random_both|records_sqlite|state_redis_server)"
        r"|^system/(kill|features_(control|limits|leave|drain|feeder|record|power))")


class Mutant:
    def __init__(self, name):
        self.name, self.file, self.tests, self.old, self.new = name, None, None, [], []

    def check(self):
        if not (self.file and self.tests and self.old):
            sys.exit(f"list.txt: {self.name}: file, tests and the lines to find are needed")
        with open(os.path.join(ROOT, self.file), encoding="utf-8") as f:
            times = f.read().count("\n".join(self.old))
        if times != 1:
            sys.exit(f"list.txt: {self.name}: its text occurs {times} times in {self.file}, not once")


def read_list():
    mutants = []
    with open(os.path.join(HERE, "list.txt"), encoding="utf-8") as f:
        for line in f.read().split("\n"):
            head = re.fullmatch(r"\[(\w+)\]", line)
            if head:
                mutants.append(Mutant(head.group(1)))
            elif line.startswith(("file: ", "tests: ")):
                setattr(mutants[-1], *line.split(": ", 1))
            elif line.startswith(("- ", "+ ")) or line in ("-", "+"):
                (mutants[-1].old if line[0] == "-" else mutants[-1].new).append(line[2:])
            elif line and not line.startswith("#"):
                sys.exit(f"list.txt: cannot read: {line}")
    for m in mutants:
        m.check()
    if len({m.name for m in mutants}) != len(mutants):
        sys.exit("list.txt: a name comes twice")
    return mutants


class Tree:
    """A worktree of HEAD and its build."""

    def __init__(self, path):
        self.path, self.build = path, os.path.join(path, "build/debug")
        if not os.path.isdir(path):
            self.run(ROOT, "git", "worktree", "add", "--quiet", "--detach", path, "HEAD", check=True)
        head = self.run(ROOT, "git", "rev-parse", "HEAD", check=True).stdout.strip()
        self.run(path, "git", "checkout", "--quiet", "--force", "--detach", head, check=True)
        os.environ.update(CCACHE_BASEDIR=path, CCACHE_NOHASHDIR="1")
        if shutil.which("ccache"):
            os.environ["CMAKE_C_COMPILER_LAUNCHER"] = "ccache"
        self.run(path, "cmake", "--preset", "debug", check=True)
        self.make("all", check=True)  # ctest names only programs that are there
        tests = json.loads(self.run(self.build, "ctest", "--show-only=json-v1", check=True).stdout)["tests"]
        self.programs = {t["name"]: t["command"][0] for t in tests if "command" in t}

    @staticmethod
    def run(where, *command, check=False):
        done = subprocess.run(command, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if check and done.returncode:
            sys.exit(f"{' '.join(command)}:\n{done.stdout[-3000:]}")
        return done

    def make(self, *targets, check=False):
        return self.run(self.path, "ninja", "-C", self.build, "-j1", *targets, check=check).returncode == 0

    def targets(self, tests):
        """What must be built for these tests; everything, for one that is no program of ours."""
        programs = [self.programs[t] for t in self.programs if re.search(tests, t)]
        if not programs:
            sys.exit(f"there is no test like {tests}")
        ours = [os.path.relpath(p, self.build) for p in programs if p.startswith(self.build)]
        return ours if len(ours) == len(programs) else ["all"]

    def failing(self, tests):
        done = self.run(self.build, "ctest", "-j1", "--stop-on-failure", "--timeout", str(TEST_S),
                        "-R", tests)
        return re.findall(r"^\s*\d+ - (\S+) \(", done.stdout, re.M)


def try_one(tree, m, rest):
    path = os.path.join(tree.path, m.file)
    with open(path, encoding="utf-8") as f:
        before = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(before.replace("\n".join(m.old), "\n".join(m.new)))
    try:
        for tests in (m.tests, *rest):
            if not tree.make(*tree.targets(tests)):
                return "does not build"
            failing = tree.failing(tests)
            if failing:
                return "caught by " + failing[0] + ("" if tests == m.tests else ", not by its own tests")
        return "SURVIVED"
    finally:
        with open(path, "w", encoding="utf-8") as f:
            f.write(before)


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--miss", type=int, default=2)
    parser.add_argument("--keep")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    mutants = [m for m in read_list() if not args.names or m.name.startswith(tuple(args.names))]
    if not mutants:
        sys.exit("there is no such mutant")
    folder = args.keep or tempfile.mkdtemp(prefix="dtf-mutants-")
    caught = broken = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the file that is changed is put back
    try:
        tree = Tree(os.path.join(folder, "tree"))
        for m in mutants:
            start = time.monotonic()
            result = try_one(tree, m, () if args.own else (REST,))
            caught += result.startswith("caught")
            broken += result == "does not build"
            print(f"{m.name:28} {m.file:40} {result} ({time.monotonic() - start:.0f} s)", flush=True)
    finally:
        if not args.keep:
            Tree.run(ROOT, "git", "worktree", "remove", "--force", os.path.join(folder, "tree"))
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{caught} of {len(mutants)} caught")
    return 1 if broken or caught + args.miss < len(mutants) else 0


sys.exit(main())
