#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite's driver: starts every server, runs every client with every case against it, prints
the table. README.md says what the cases do.

A server and a client at a time run, no more. Needs protoc, openssl and python3-protobuf; Node's client only
if node is there. Exit status 1: a case failed.
"""
from __future__ import annotations

import argparse
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NOT_SUPPORTED = 77
CASE_S = 60.0  # how long a case may take; only what hangs takes so long
START_S = 20.0

CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "server_streaming_many",
    "ping_pong",
    "half_duplex",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "cancel_reaches_server",
    "timeout_on_sleeping_server",
    "deadline_propagates",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "status_details",
    "unimplemented_method",
    "unimplemented_service",
    "retry_idempotent",
    "traceparent",
]
REDUCED = ["empty_unary", "large_unary", "server_streaming_many", "ping_pong", "custom_metadata"]


# ---- programs


class Program:
    """One process that we started."""

    def __init__(self, command: list[str]) -> None:
        # Its standard error goes where it can be shown with a failure, and fills no pipe.
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        self._read = b""

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()

    def kill(self) -> None:
        """With -9."""
        self._process.kill()
        self._process.wait()

    def read_line(self, timeout_s: float) -> str:
        """A line of its output; empty if it ends, or says nothing for so long."""
        end = time.monotonic() + timeout_s
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            if not data:
                return ""
            self._read += data
        line, self._read = self._read.split(b"\n", 1)
        return line.decode(errors="replace")

    def write_line(self) -> None:
        """It may go on."""
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its exit status says more

    def end_input(self) -> None:
        """Its standard input ends."""
        self._process.stdin.close()
        self._process.stdin = None

    def finish(self, timeout_s: float) -> tuple[int, str]:
        """Ends its input and waits for it: exit status, and all it said since read_line."""
        try:
            out, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -1, f"it still ran after {timeout_s:.0f} s\n{self.errors()}"
        return self._process.returncode, (self._read + out).decode(errors="replace") + self.errors()

    def errors(self) -> str:
        """Its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


# ---- certificates, tokens


def openssl(*arguments: str | Path) -> None:
    """Runs a command of it."""
    subprocess.run(
        ["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def make_certificates(folder: Path) -> None:
    """ca.pem, and server.pem and client.pem with their keys, signed by it."""
    new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
    openssl(
        "req",
        "-x509",
        *new,
        "-subj",
        "/CN=conformance CA",
        "-keyout",
        folder / "ca.key",
        "-out",
        folder / "ca.pem",
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="ascii")
    for name in ("server", "client"):
        openssl(
            "req",
            *new,
            "-subj",
            "/CN=localhost",
            "-keyout",
            folder / f"{name}.key",
            "-out",
            folder / f"{name}.csr",
        )
        openssl(
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            folder / f"{name}.csr",
            "-CA",
            folder / "ca.pem",
            "-CAkey",
            folder / "ca.key",
            "-CAcreateserial",
            "-extfile",
            folder / "names",
            "-out",
            folder / f"{name}.pem",
        )


# ---- settings: what servers and clients are started with


@dataclass
class Setting:
    """A group of cases that share a server."""

    name: str
    url: str
    cases: dict[str, list[str]]  # what the client gets besides
    server: list[str] = field(default_factory=list)
    client: list[str] = field(default_factory=list)

    def row(self, case: str) -> str:
        """Its name in the table."""
        return f"{self.name}: {case}" if self.name else case


def make_settings(folder: Path) -> list[Setting]:
    """All of them; their files lie in the folder."""
    make_certificates(folder)
    token = secrets.token_hex(16)
    (folder / "tokens").write_text(
        f"# token subject roles\n{token} somebody reader,writer\n", encoding="ascii"
    )
    ca = ["--ca", f"{folder}/ca.pem"]
    own = {
        who: ["--cert", f"{folder}/{who}.pem", "--key", f"{folder}/{who}.key"] for who in ("server", "client")
    }
    tcp, tls = "tcp://127.0.0.1:0", "tls+tcp://127.0.0.1:0"
    reduced: dict[str, list[str]] = {case: [] for case in REDUCED}
    tokens = {
        "wrong_token": ["--token", token[::-1] + "0"],
        "no_token": [],
        "empty_unary": ["--token", token],
    }
    return [
        Setting("", tcp, {case: [] for case in CASES}),
        Setting("ipc", f"ipc://{folder}/socket", {case: [] for case in REDUCED}),
        Setting("tls", tls, reduced, own["server"], ca),
        Setting("mtls", tls, reduced, own["server"] + ca, ca + own["client"]),
        Setting("tokens", tcp, tokens, ["--tokens", f"{folder}/tokens"]),
    ]


# ---- running


Pair = tuple[str, str]  # case and client


class Suite:
    """Servers, clients and what came out."""

    def __init__(self, servers: dict[str, list[str]], clients: dict[str, list[str]]) -> None:
        self.servers = servers
        self.clients = clients
        self.rows: dict[str, dict[tuple[str, str], str]] = {}  # row, (client, server): ok, FAILED or n/a
        self.notes: set[str] = set()  # why a client did not run a case
        self.failures: list[str] = []

    def run(self, settings: list[Setting]) -> None:
        """Everything."""
        for server in self.servers:
            for setting in settings:
                self._run_setting(server, setting)
            for client in self.clients:
                self._note("reconnect", client, server, *self._reconnect(client, server))
                self._note("drain", client, server, *self._drain(client, server))

    def _note(self, row: str, client: str, server: str, status: int, text: str) -> None:
        result = {0: "ok", NOT_SUPPORTED: "n/a"}.get(status, "FAILED")
        self.rows.setdefault(row, {})[client, server] = result
        if result == "n/a":
            self.notes.add(f"{client}: {text.strip() or row}")
        if result == "FAILED":
            self.failures.append(f"{row}, {client} to {server}: exit status {status}\n{text.strip()}")

    def _start_server(self, server: str, url: str, options: list[str]) -> tuple[Program, str]:
        end = time.monotonic() + START_S
        while True:
            program = Program([*self.servers[server], "--listen", url, *options])
            real = program.read_line(START_S)
            if real:
                # Certificates are made out to a name; not every TLS library looks for an address in them.
                return program, real.replace("tls+tcp://127.0.0.1", "tls+tcp://localhost")
            with program:
                errors = program.errors()
            if time.monotonic() > end:
                raise RuntimeError(f"the {server} server does not start: {errors}")
            time.sleep(0.1)  # a port may be free again a little later

    def _client(self, client: str, url: str, case: str, options: list[str]) -> Program:
        return Program([*self.clients[client], "--url", url, "--case", case, *options])

    def _run_setting(self, server: str, setting: Setting) -> None:
        todo = [(case, client) for case in setting.cases for client in self.clients]
        while todo:
            program, url = self._start_server(server, setting.url, setting.server)
            with program:
                ran, todo = self._run_cases(server, url, setting, todo)
                status, text = program.finish(START_S)
                if status:
                    self._note(
                        setting.row(ran[0]), ran[1], server, status, f"then the server ended badly: {text}"
                    )

    def _run_cases(
        self, server: str, url: str, setting: Setting, todo: list[Pair]
    ) -> tuple[Pair, list[Pair]]:
        """Runs them up to a failure; gives the last that ran, and those left for a server that saw none."""
        while True:
            (case, client), *todo = todo
            with self._client(client, url, case, setting.client + setting.cases[case]) as c:
                status, text = c.finish(CASE_S)
            self._note(setting.row(case), client, server, status, text)
            if not todo or status not in (0, NOT_SUPPORTED):
                return (case, client), todo

    def _reconnect(self, client: str, server: str) -> tuple[int, str]:
        program, url = self._start_server(server, "tcp://127.0.0.1:0", [])
        with program, self._client(client, url, "reconnect", []) as c:
            if c.read_line(START_S) == "running":
                program.kill()
                program, _ = self._start_server(server, url, [])
            with program:
                c.write_line()
                return c.finish(CASE_S)

    def _drain(self, client: str, server: str) -> tuple[int, str]:
        program, url = self._start_server(server, "tcp://127.0.0.1:0", [])
        with program, self._client(client, url, "drain", []) as c:
            if c.read_line(START_S) == "running":
                program.end_input()
            c.write_line()
            status, text = c.finish(CASE_S)
            server_status, server_text = program.finish(CASE_S)
            return status or server_status, text + server_text

    # ---- the table

    def columns(self) -> list[tuple[str, str]]:
        """Pairs of client and server."""
        return [(client, server) for server in self.servers for client in self.clients]

    def table(self) -> str:
        """As Markdown, which is read well enough as it is."""
        pairs = self.columns()
        cells = [["case", *(f"{client} → {server}" for client, server in pairs)]]
        cells += [[row, *(results.get(pair, "-") for pair in pairs)] for row, results in self.rows.items()]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |" for line in cells]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        return "\n".join(lines)

    def count(self, result: str) -> int:
        """How often it came out so."""
        return sum(list(results.values()).count(result) for results in self.rows.values())


INTRODUCTION = """# Conformance

What tests/conformance/conformance.py found: every case of tests/conformance/README.md, in columns
client → server. Where no transport is named it is TCP; n/a: the client cannot run it.

"""


def find_node() -> tuple[list[str] | None, str]:
    """How to run Node's client, or why not."""
    client, node = HERE / "node_client.js", shutil.which("node")
    if not client.exists():
        return None, "Node's client is left out: there is no node_client.js."
    if not node:
        return None, "Node's client is left out: node is not installed."
    return [node, str(client)], ""


def main() -> int:
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--c-server", help="the server in C; without it and --c-client C is left out")
    parser.add_argument("--c-client", help="the client in C")
    parser.add_argument(
        "--markdown",
        nargs="?",
        const=str(ROOT / "docs/CONFORMANCE.md"),
        metavar="FILE",
        help="write the table there, too; docs/CONFORMANCE.md unless named",
    )
    arguments = parser.parse_args()
    node, note = find_node()
    python = [sys.executable]
    servers = {
        "C": [arguments.c_server] if arguments.c_server else None,
        "Python": python + [str(HERE / "python_server.py")],
    }
    clients = {
        "C": [arguments.c_client] if arguments.c_client else None,
        "Python": python + [str(HERE / "python_client.py")],
        "Node": node,
    }
    suite = Suite({k: v for k, v in servers.items() if v}, {k: v for k, v in clients.items() if v})
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        subprocess.run(["protoc", f"-I{HERE}", f"--python_out={folder}", "conformance.proto"], check=True)
        os.environ["PYTHONPATH"] = f"{ROOT / 'clients/python'}:{folder}"
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        suite.run(make_settings(folder))
    print(suite.table())
    notes = [note] if note else sorted(suite.notes)
    for text in (*notes, *suite.failures):
        print(f"\n{text}")
    passed, failed = suite.count("ok"), suite.count("FAILED")
    counts = f"{passed} passed, {failed} failed"
    if arguments.markdown:
        text = "\n\n".join([suite.table(), *notes, counts + "."])
        Path(arguments.markdown).write_text(INTRODUCTION + text + "\n", encoding="utf-8")
    print(f"\n{counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
