#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# program_test.py NRPC SERVER SET DESCRIBED: the program `nrpc` against a server with methods of all kinds.
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

NRPC, SERVER, SET, DESCRIBED = sys.argv[1:5]
WAIT_S = 60
TOOL = "tool.v1.Tool/"
TOKEN = "0123456789abcdef"
OK, LOCAL, RPC = 0, 1, 64
CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED = 1, 3, 4, 5, 7
UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 12, 14, 16


class Server:
    def __init__(self, *options):
        self.process = subprocess.Popen([SERVER, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self):
        self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0, self.process.returncode


def run(*arguments, stdin=None):
    return subprocess.run([NRPC, *arguments], input=stdin, capture_output=True, text=True, timeout=WAIT_S)


def documents(text):
    """A sequence of JSON documents."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


class Case(unittest.TestCase):
    options = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.options)
        cls.url = cls.server.url

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def ok(self, command, *arguments, stdin=None):
        result = run(command, self.url, *arguments, stdin=stdin)
        self.assertEqual((result.returncode, result.stderr), (OK, ""))
        return result.stdout

    def call(self, method, data=None, *arguments, stdin=None):
        data = [] if data is None else ["-d", data if isinstance(data, str) else json.dumps(data)]
        return documents(self.ok("call", TOOL + method, *data, *arguments, stdin=stdin))

    def fails(self, exit_code, pattern, *arguments, stdin=None):
        """Returns standard output."""
        result = run(*arguments, stdin=stdin)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        self.assertRegex(result.stderr, pattern)
        return result.stdout

    def wait_for_cancelled(self, count):
        deadline = time.monotonic() + WAIT_S
        while int(self.call("Cancelled")[0].get("size", 0)) != count:
            self.assertLess(time.monotonic(), deadline)


class Discovery(Case):
    def test_list(self):
        self.assertEqual(self.ok("list").split(),
                         ["tool.v1.Tool", "nrpc.v1.Health", "nrpc.v1.Channelz", "nrpc.v1.Reflection"])
        self.assertEqual(self.ok("list", "nrpc.v1.Health").split(),
                         ["nrpc.v1.Health/Check", "nrpc.v1.Health/Watch"])
        self.assertEqual(self.ok("list", "tool.v1.Tool", "--proto-set", SET).split()[0], "tool.v1.Tool/Echo")
        self.assertEqual(self.ok("list", "--proto-set", SET).split(), ["tool.v1.Tool"])
        self.fails(RPC + NOT_FOUND, "nrpc: NOT_FOUND: no file declares \"a.B\"", "list", self.url, "a.B")
        self.fails(LOCAL, "there is no service tool.v1.Item", "list", self.url, "tool.v1.Item")
        self.fails(LOCAL, "there is no service a.B", "list", self.url, "a.B", "--proto-set", SET)

    def test_describe(self):
        symbols = ["tool.v1.Tool", "tool.v1.Item", "tool.v1.Color", "tool.v1.Item.Part", "tool.v1.Item.Grade",
                   "tool.v1.Tool.Chat", "tool.v1.Tool/Count", "google.protobuf.Any"]
        with open(DESCRIBED, encoding="utf-8") as file:
            expected = file.read()
        for options in [], ["--proto-set", SET]:
            self.assertEqual("".join(self.ok("describe", symbol, *options) for symbol in symbols), expected)
        everything = self.ok("describe")
        for name in "tool.v1.Tool", "nrpc.v1.Health", "nrpc.v1.Channelz", "nrpc.v1.Reflection":
            self.assertIn(f"// {name}\nservice {name.split('.')[-1]} {{\n", everything)
        self.fails(LOCAL, "there is no service, method, message or enum tool.v1.Item.name",
                   "describe", self.url, "tool.v1.Item.name")
        self.fails(RPC + NOT_FOUND, "NOT_FOUND", "describe", self.url, "tool.v1.None")
        self.fails(LOCAL, "there is no", "describe", self.url, "tool.v1.None", "--proto-set", SET)

    def test_described_compiles(self):
        text = self.ok("describe", "tool.v1.Tool") + self.ok("describe", "tool.v1.Item")
        text = text.replace("tool.v1.", "") + self.ok("describe", "tool.v1.Color")
        text += self.ok("describe", "tool.v1.FailRequest")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "described.proto")
            with open(path, "w", encoding="utf-8") as file:
                file.write('syntax = "proto3";\n' + "".join(f'import "google/protobuf/{name}.proto";\n'
                                                            for name in ("any", "empty", "timestamp")) + text)
            subprocess.run([os.environ.get("PROTOC", "protoc"), f"-I{folder}", f"-o{folder}/out", path], check=True, timeout=WAIT_S)

    def test_health(self):
        self.assertEqual(self.ok("health"), "SERVING\n")
        self.fails(RPC + NOT_FOUND, "NOT_FOUND", "health", self.url, "a.B")
        self.call("SetHealth", {"name": "a.B", "size": 2})
        self.assertEqual(self.fails(LOCAL, "^$", "health", self.url, "a.B"), "NOT_SERVING\n")
        watch = subprocess.Popen([NRPC, "health", self.url, "c.D", "--watch"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.assertEqual(watch.stdout.readline(), "SERVICE_UNKNOWN\n")
        self.call("SetHealth", {"name": "c.D", "size": 1})
        self.assertEqual(watch.stdout.readline(), "SERVING\n")
        watch.send_signal(signal.SIGINT)
        self.assertRegex(watch.communicate(timeout=WAIT_S)[1], "nrpc: CANCELLED: ")
        self.assertEqual(watch.returncode, RPC + CANCELLED)
        self.fails(RPC + DEADLINE_EXCEEDED, "DEADLINE", "health", self.url, "c.D", "--watch", "--deadline", "50ms")

    def test_stats(self):
        self.call("Echo", {})
        text = self.ok("stats")
        self.assertRegex(text, r"calls +\d+ started, \d+ answered, 0 refused")
        self.assertRegex(text, r"tool\.v1\.Tool/Echo +[1-9]\d* +[1-9]\d* +0 +0 +< [\d.]+ ms +< [\d.]+ ms")
        self.assertRegex(text, r"\d+ +127\.0\.0\.1:\d+ ")


class Calls(Case):
    ITEM = {"name": "a \u00e9 \u202e", "size": "-5", "parts": [{"name": "p"}, {}], "counts": {"a": 1, "b": 2}, "data": "AP8=",
            "madeAt": "2024-01-02T03:04:05Z", "color": "BLUE", "level": 0}

    def test_unary(self):
        self.assertEqual(self.call("Echo", self.ITEM), [self.ITEM])
        self.assertEqual(self.call("Echo", self.ITEM, "--proto-set", SET), [self.ITEM])
        self.assertEqual(self.call("Echo"), [{}])
        self.assertEqual(self.call("Echo", ""), [{}])
        self.assertEqual(self.ok("call", "tool.v1.Tool.Echo", "-d", '{"size": 1}'), '{\n  "size": "1"\n}\n')
        self.assertEqual(self.ok("call", TOOL + "Echo", "-d", '{"size": 1}', "--compact"), '{"size":"1"}\n')
        everything = self.call("Echo", {}, "--emit-defaults")[0]
        self.assertEqual((everything["name"], everything["size"], everything["parts"]), ("", "0", []))

    def test_any(self):
        for kind in "tool.v1.FailRequest", "nrpc.v1.HealthCheckRequest", "google.protobuf.Timestamp":
            value = {"value": "2024-01-02T03:04:05Z"} if kind.endswith("Timestamp") else {}
            item = {"extra": {"@type": "type.googleapis.com/" + kind, **value}}
            self.assertEqual(self.call("Echo", item), [item])
        secret = {"extra": {"@type": "type.googleapis.com/tool.v1.Secret", "text": "hush"}}
        self.assertEqual(self.call("Echo", secret, "--proto-set", SET), [secret])
        self.fails(LOCAL, "tool.v1.Secret", "call", self.url, TOOL + "Echo", "-d", json.dumps(secret))

    def test_large(self):
        item = {"name": "x" * 3000000}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(item, file)
            file.flush()
            self.assertEqual(self.call("Echo", "@" + file.name), [item])
        self.assertEqual(self.call("Echo", "@-", stdin=json.dumps(item)), [item])
        item = {"parts": [{}] * 50000}
        self.assertEqual(self.call("Echo", "@-", stdin=json.dumps(item)), [item])

    def test_server_streams(self):
        self.assertEqual(self.call("Count", {"size": 3}), [{"size": "1"}, {"size": "2"}, {"size": "3"}])
        self.assertEqual(self.call("Count"), [])
        self.assertEqual(len(self.call("Count", {"size": 20000}, "--compact")), 20000)

    def test_client_streams(self):
        self.assertEqual(self.call("Sum"), [{}])
        self.assertEqual(self.call("Sum", '{"size": 1} {"size": 2}{"size":3}'), [{"size": "6"}])
        self.assertEqual(self.call("Sum", "@-", stdin='{"size": 1}\n' * 20000), [{"size": "20000"}])

    def test_both_stream(self):
        self.assertEqual(self.call("Chat", '{"size": 1}\n{"size": 2}'), [{"size": "1"}, {"size": "2"}])
        chat = subprocess.Popen([NRPC, "call", self.url, TOOL + "Chat", "-d", "@-", "--compact"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(1, 4): # each answer comes before the next request
            chat.stdin.write(json.dumps({"size": i}))
            chat.stdin.flush()
            self.assertEqual(chat.stdout.readline(), '{"size":"%d"}\n' % i)
        self.assertEqual(chat.communicate(timeout=WAIT_S)[0], "")
        self.assertEqual(chat.returncode, OK)

    def test_metadata(self):
        arguments = ["call", self.url, TOOL + "Echo", "-v", "-H", "x-header: one", "-H", "x-header:two", "--header",
                     "x-trailer-bin: AP8="]
        result = run(*arguments)
        self.assertEqual(result.returncode, OK)
        self.assertEqual(result.stderr, "header x-header: one\nheader x-header: two\ntrailer x-trailer-bin: AP8=\n")
        for header in "x", ":x", "x-bin: !":
            self.fails(LOCAL, "-H", "call", self.url, TOOL + "Echo", "-H", header)
        self.fails(RPC + INVALID_ARGUMENT, "INVALID_ARGUMENT", "call", self.url, TOOL + "Echo", "-H", "UPPER: x")


class Errors(Case):
    def test_codes(self):
        for code in range(1, 17):
            self.assertEqual(self.fails(RPC + code, "nrpc: [A-Z_]+: no.$", "call", self.url, TOOL + "Fail", "-d",
                                        json.dumps({"code": code, "text": "no!"})), "")
        out = self.fails(RPC + NOT_FOUND, "^nrpc: NOT_FOUND: gone$", "call", self.url, TOOL + "FailLater", "-d",
                         '{"code": 5, "text": "gone", "after": 2}', "--compact")
        self.assertEqual(out, "{}\n{}\n")
        self.fails(RPC + NOT_FOUND, r"^nrpc: NOT_FOUND: a\?\[31mb$", "call", self.url, TOOL + "Fail", "-d",
                   '{"code": 5, "text": "a\\u001b[31mb"}')

    def test_details(self):
        for method in "Fail", "FailLater":
            result = run("call", self.url, TOOL + method, "-d", '{"code": 5, "text": "x", "withDetails": true}')
            lines = result.stderr.splitlines()
            self.assertEqual(lines[0], "nrpc: NOT_FOUND: x")
            self.assertEqual([json.loads(line) for line in lines[1:]], [
                {"@type": "type.googleapis.com/tool.v1.Item", "name": "detail"},
                {"@type": "type.googleapis.com/google.protobuf.Timestamp", "value": "1970-01-01T00:00:00Z"},
                {"@type": "type.googleapis.com/google.protobuf.Empty"},
                {"@type": "type.googleapis.com/tool.v1.Secret", "value": "CgRodXNo"},
            ])

    def test_deadline(self):
        arguments = ["--deadline", "200ms", "-d", "@-"]
        for method in "Hang", "HangStreaming":
            self.fails(RPC + DEADLINE_EXCEEDED, "nrpc: DEADLINE_EXCEEDED: ", "call", self.url, TOOL + method, *arguments,
                       stdin="")
        with subprocess.Popen([NRPC, "call", self.url, TOOL + "Chat", *arguments], stdin=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.wait(timeout=WAIT_S), RPC + DEADLINE_EXCEEDED) # with its input still open
            self.assertRegex(process.stderr.read(), "nrpc: DEADLINE_EXCEEDED: ")
        for value in "0s", "1", "x", "-1s", "9999d":
            self.fails(LOCAL, "--deadline", "call", self.url, TOOL + "Echo", "--deadline", value)

    def test_requests(self):
        for data in "{", '{"nme": 1}', '{"size": "x"}', "[]", "1", "}", '{"size": 1}{"size": 2}', "@/nonexistent":
            for method in "Echo", "Count":
                self.fails(LOCAL, "^nrpc: call: ", "call", self.url, TOOL + method, "-d", data)
        for data in '{"size": 1} {"size": "x"}', "{", "@/nonexistent":
            self.fails(LOCAL, "^nrpc: call: ", "call", self.url, TOOL + "Sum", "-d", data)

    def test_methods(self):
        self.fails(LOCAL, "no method None", "call", self.url, TOOL + "None")
        self.fails(RPC + NOT_FOUND, "NOT_FOUND", "call", self.url, "tool.v1.None/None")
        self.fails(LOCAL, "there is no service", "call", self.url, "tool.v1.None/None", "--proto-set", SET)
        self.fails(LOCAL, "package.Service/Method", "call", self.url, "None")
        self.fails(LOCAL, "there is no service", "call", self.url, "tool.v1.Item/None")

    def test_usage(self):
        for arguments in ([], ["none"], ["--none"], ["-v", "list"], ["list"], ["list", "a", "b", "c"], ["call", "tcp://x:1"],
                          ["call", self.url, TOOL + "Echo", "--none"], ["call", self.url, TOOL + "Echo", "-d"],
                          ["list", self.url, "-d", "x"], ["call", self.url, TOOL + "Echo", "--watch"],
                          ["list", self.url, "--token", "a", "--token-file", "b"], ["list", "nonsense"],
                          ["list", self.url, "--token-file", "/nonexistent"], ["list", self.url, "--proto-set", "/dev/null/x"],
                          ["list", self.url, "--proto-set", NRPC]):
            self.fails(LOCAL, "^nrpc: ", *arguments)
        for arguments in ["--help"], ["help"], ["call", "--help"], ["list", self.url, "-h"]:
            result = run(*arguments)
            self.assertEqual((result.returncode, result.stderr), (OK, ""))
            self.assertIn("usage: nrpc ", result.stdout)
        self.assertRegex(run("--version").stdout, r"^nrpc \d")

    def test_nobody_there(self):
        self.fails(RPC + UNAVAILABLE, "UNAVAILABLE", "list", "tcp://127.0.0.1:1")

    def test_interrupt(self):
        before = int(self.call("Cancelled")[0].get("size", 0))
        for i, (method, data) in enumerate([("Hang", "{}"), ("HangStreaming", "{}"), ("Chat", "@-")], start=1):
            process = subprocess.Popen([NRPC, "call", self.url, TOOL + method, "-d", data, "--compact"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if method == "Chat":
                process.stdin.write("{}")
                process.stdin.flush()
            if method == "Hang":
                self.wait_for_running(method)
            else:
                self.assertEqual(process.stdout.readline(), "{}\n")
            process.send_signal(signal.SIGINT)
            process.wait(timeout=WAIT_S) # with its input still open
            self.assertRegex(process.communicate()[1], "^nrpc: CANCELLED: ")
            self.assertEqual(process.returncode, RPC + CANCELLED)
            self.wait_for_cancelled(before + i)

    def wait_for_running(self, method):
        deadline = time.monotonic() + WAIT_S
        while not re.search(rf"tool\.v1\.Tool/{method} +\d+ +\d+ +\d+ +1 ", self.ok("stats")):
            self.assertLess(time.monotonic(), deadline)

    def test_output_closed(self):
        process = subprocess.Popen([NRPC, "call", self.url, TOOL + "Count", "-d", '{"size": 1000000}', "--compact"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), '{"size":"1"}\n')
        process.stdout.close()
        process.wait(timeout=WAIT_S)
        process.stderr.close()
        self.assertNotEqual(process.returncode, OK)


class Bare(Case):
    """A server without reflection."""
    options = ("--bare",)

    def test_all(self):
        self.assertEqual(self.call("Echo", {"size": 1}, "--proto-set", SET), [{"size": "1"}])
        self.assertEqual(self.call("Sum", '{"size": 1}{"size": 2}', "--proto-set", SET), [{"size": "3"}])
        for arguments in ["list"], ["list", "tool.v1.Tool"], ["describe"], ["call", TOOL + "Echo"]:
            self.fails(RPC + UNIMPLEMENTED, "no reflection", arguments[0], self.url, *arguments[1:])
        for command in "health", "stats":
            self.fails(RPC + UNIMPLEMENTED, "UNIMPLEMENTED", command, self.url)


class Tokens(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.good, cls.empty, tokens = (os.path.join(cls.folder.name, name) for name in ("good", "empty", "tokens"))
        for path, text in (cls.good, TOKEN + "\n"), (cls.empty, ""), (tokens, TOKEN + " me\n"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        cls.options = ("--tokens", tokens)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    def test_all(self):
        for option in ["--token", TOKEN], ["--token-file", self.good]:
            self.assertEqual(self.call("Echo", {"size": 1}, *option), [{"size": "1"}])
            self.assertIn("tool.v1.Tool\n", self.ok("list", *option))
        for option in [], ["--token", TOKEN + "x"]:
            for arguments in ["list"], ["call", TOOL + "Echo"], ["call", TOOL + "Echo", "--proto-set", SET], ["health"]:
                self.fails(RPC + UNAUTHENTICATED, "UNAUTHENTICATED", arguments[0], self.url, *arguments[1:], *option)
        self.fails(LOCAL, "no token", "list", self.url, "--token-file", self.empty)


class Tls(Case):
    @classmethod
    def openssl(cls, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=WAIT_S, cwd=cls.folder.name)

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
        for name in "server", "client":
            cls.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        f"/CN={name}.test", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                        "-days", "2", "-out", f"{name}.pem")
        cls.options = ("--cert", cls.path("server.pem"), "--key", cls.path("server.key"), "--ca", cls.path("ca.pem"))
        super().setUpClass()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder.name, name)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.folder.cleanup()

    def test_all(self):
        trust = ["--ca", self.path("ca.pem")]
        show = ["--cert", self.path("client.pem"), "--key", self.path("client.key")]
        name = ["--server-name", "server.test"]
        self.assertEqual(self.call("Echo", {"size": 1}, *trust, *show, *name), [{"size": "1"}])
        self.assertIn("tool.v1.Tool\n", self.ok("list", *trust, *show, *name))
        self.fails(RPC + UNAVAILABLE, "UNAVAILABLE", "list", self.url, *trust, *name)
        self.fails(RPC + UNAVAILABLE, "UNAVAILABLE", "list", self.url, *trust, *show, "--server-name", "other.test")
        self.fails(LOCAL, "nrpc: ", "list", self.url, *show, *name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
