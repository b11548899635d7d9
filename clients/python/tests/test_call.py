# SPDX-License-Identifier: Apache-2.0
"""Client and server together: calls of all kinds, limits, flow control, drain."""
import tempfile
import threading
import unittest

import nrpc
from nrpc import StatusCode
from schema import Number, Text, service

WAIT_S = 10


class Implementation:
    def __init__(self):
        self.failures = 0
        self.produced = self.taken = 0
        self.go = threading.Event()
        self.seen = threading.Event()

    def Echo(self, request, context):
        if request.value == "abort":
            context.abort(StatusCode.NOT_FOUND, "no such thing", [Number(value=7), Text(value="why")])
        if request.value == "raise":
            raise RuntimeError("a secret")
        if request.value == "wrong":
            return Number()
        if request.value == "large":
            return Text(value="x" * 2000)
        if request.value == "hang":
            self.seen.set()
            context.wait_for_cancel(WAIT_S)
        if request.value == "wait":
            self.seen.set()
            self.go.wait(WAIT_S)
        return request

    def Idempotent(self, request, context):
        self.failures += 1
        if self.failures < 3:
            context.abort(StatusCode.UNAVAILABLE, "again")
        return request

    def Count(self, request, context):
        try:
            for i in range(int(request.value)):
                self.produced = i + 1
                yield Text(value=str(i).rjust(1000))
        finally:
            if context.is_cancelled():
                self.seen.set()

    def Sum(self, requests, context):
        self.go.wait(WAIT_S)
        total = 0
        for request in requests:
            self.taken += 1
            total += len(request.value)
        return Text(value=str(total))

    def Chat(self, requests, context):
        context.set_headers({"h": "1"})
        for request in requests:
            yield request
        context.set_trailers({"t-bin": b"\0"})


def wait_until(condition):
    """Looks until it is so."""
    for _ in range(WAIT_S * 200):
        if condition():
            return True
        threading.Event().wait(0.005)
    return False


class CallTest(unittest.TestCase):
    url = "tcp://127.0.0.1:0"
    server_options = {}
    channel_options = {}

    def setUp(self):
        self.implementation = Implementation()
        self.server = nrpc.Server(**self.server_options)
        self.addCleanup(self.server.stop)
        self.addCleanup(self.implementation.go.set)
        self.server.add(service(), self.implementation)
        self.channel = nrpc.Channel(self.server.listen(self.url), **self.channel_options)
        self.addCleanup(self.channel.close)
        self.stub = nrpc.Stub(self.channel, service())

    def fails(self, code, function, *arguments, **options):
        with self.assertRaises(nrpc.RpcError) as caught:
            function(*arguments, **options)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception


class KindsTest(CallTest):
    def test_unary(self):
        self.assertEqual(self.stub.Echo(Text(value="ä"), timeout=WAIT_S).value, "ä")

    def test_errors_carry_typed_details(self):
        error = self.fails(StatusCode.NOT_FOUND, self.stub.Echo, Text(value="abort"))
        self.assertEqual(
            (error.text, error.detail(Number).value, error.detail(Text).value), ("no such thing", 7, "why")
        )
        self.assertEqual(len(error.details), 2)

    def test_a_failing_handler_tells_nothing_of_itself(self):
        with self.assertLogs("nrpc", "ERROR"):
            error = self.fails(StatusCode.UNKNOWN, self.stub.Echo, Text(value="raise"))
            self.assertNotIn("secret", error.text)
            self.fails(StatusCode.UNKNOWN, self.stub.Echo, Text(value="wrong"))

    def test_a_method_left_out_is_unimplemented(self):
        self.fails(StatusCode.UNIMPLEMENTED, self.stub.Missing, Text())
        self.assertFalse(hasattr(self.stub, "Nonsense"))

    def test_idempotent_methods_are_tried_again(self):
        call = self.stub.Idempotent.start(Text(value="x"))
        self.assertEqual((call.result().value, call.attempts), ("x", 3))

    def test_streams(self):
        self.assertEqual([m.value.strip() for m in self.stub.Count(Text(value="3"))], ["0", "1", "2"])
        self.implementation.go.set()
        self.assertEqual(self.stub.Sum(Text(value="ab") for _ in range(3)).value, "6")
        call = self.stub.Chat([Text(value="a"), Text(value="b")])
        self.assertEqual([m.value for m in call], ["a", "b"])
        self.assertEqual(
            (call.headers(), call.trailers(), call.code()), ((("h", "1"),), (("t-bin", b"\0"),), 0)
        )
        self.assertIsNone(call.read())

    def test_many_calls_at_once(self):
        calls = [self.stub.Echo.start(Text(value=str(i)), timeout=30) for i in range(500)]
        self.assertEqual([c.result().value for c in calls], [str(i) for i in range(500)])

    def test_misuse_is_refused(self):
        for request, stub in ((None, self.stub.Echo), (Text(), self.stub.Sum)):
            with self.assertRaises(ValueError):
                stub.start(request)
        with self.assertRaises(ValueError):
            self.stub.Echo(Text(), metadata={"Upper": "x"})
        with self.assertRaises(ValueError):
            self.stub.Echo.start(Text()).write(Text())


class IpcTest(KindsTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.url = f"ipc://{folder.name}/socket"
        super().setUp()


class FlowTest(CallTest):
    def test_a_server_waits_for_a_slow_client(self):
        call = self.stub.Count(Text(value="5000"))
        call.read()
        self.assertTrue(wait_until(lambda: self.implementation.produced >= 250))
        threading.Event().wait(0.05)  # it would run ahead now
        self.assertLess(self.implementation.produced, 1000)
        self.assertEqual(sum(1 for _ in call), 4999)

    def test_a_client_waits_for_a_slow_server(self):
        call = self.stub.Sum.start()
        written = []

        def write():
            for i in range(2000):
                call.write(Text(value="x" * 1000))
                written.append(i)
            call.close_send()

        thread = threading.Thread(target=write)
        thread.start()
        self.assertTrue(wait_until(lambda: len(written) >= 200))
        threading.Event().wait(0.05)
        self.assertLess(len(written), 1000)
        self.implementation.go.set()
        self.assertEqual(call.result().value, "2000000")
        thread.join()

    def test_leaving_a_stream_ends_it_in_the_server(self):
        with self.stub.Count(Text(value="100000")) as call:
            call.read()
        self.assertEqual(call.code(), StatusCode.CANCELLED)
        self.assertTrue(self.implementation.seen.wait(WAIT_S))

    def test_messages_of_any_size_are_not_lost(self):
        sizes = [0, 1, 70000, 300000, 5, 1000000]
        call = self.stub.Chat(Text(value="x" * n) for n in sizes)
        self.assertEqual([len(m.value) for m in call], sizes)

    def test_a_writer_hears_of_the_end(self):
        call = self.stub.Sum.start()
        call.cancel()
        self.assertEqual(call.code(), StatusCode.CANCELLED)
        self.fails(StatusCode.CANCELLED, call.write, Text())
        self.fails(StatusCode.CANCELLED, call.result)

    def test_a_failing_source_of_messages_cancels_the_call(self):
        def messages():
            yield Text(value="a")
            raise RuntimeError("broken")

        call = self.stub.Chat(messages())
        self.fails(StatusCode.CANCELLED, lambda: list(call))


class EndTest(CallTest):
    def test_deadline(self):
        call = self.stub.Echo.start(Text(value="hang"), timeout=0.05)
        self.fails(StatusCode.DEADLINE_EXCEEDED, call.result)

    def test_cancel(self):
        call = self.stub.Echo.start(Text(value="hang"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        call.cancel()
        self.fails(StatusCode.CANCELLED, call.result)

    def test_drain_lets_the_running_call_end(self):
        call = self.stub.Echo.start(Text(value="wait"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        drained = []
        thread = threading.Thread(target=lambda: drained.append(self.server.drain(WAIT_S)))
        thread.start()
        self.assertTrue(wait_until(lambda: not self.channel.is_connected()))
        self.fails(StatusCode.DEADLINE_EXCEEDED, self.stub.Echo, Text(), timeout=0.1)
        self.implementation.go.set()
        self.assertEqual(call.result().value, "wait")
        thread.join()
        self.assertEqual(drained, [0])

    def test_stop_ends_what_runs(self):
        call = self.stub.Echo.start(Text(value="hang"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        self.server.stop()
        self.fails(StatusCode.UNAVAILABLE, call.result)

    def test_close_ends_what_runs(self):
        call = self.stub.Echo.start(Text(value="hang"))
        self.channel.close()
        self.fails(StatusCode.CANCELLED, call.result)
        self.fails(StatusCode.CANCELLED, self.stub.Echo, Text())


class SeveralServersTest(unittest.TestCase):
    def test_calls_keep_to_one_and_go_on_with_another(self):
        servers, implementations = [], []
        for _ in range(2):
            server = nrpc.Server()
            implementations.append(Implementation())
            server.add(service(), implementations[-1])
            servers.append(server)
            self.addCleanup(server.stop)
        url = ",".join(server.listen("tcp://127.0.0.1:0") for server in servers)
        with nrpc.Channel(url) as channel:
            stub = nrpc.Stub(channel, service())
            for _ in range(3):  # the first three attempts, at one server
                stub.Idempotent(Text(value="x"), timeout=WAIT_S)
            counts = [i.failures for i in implementations]
            self.assertEqual(sorted(counts), [0, 5])
            used = counts.index(5)
            servers[used].stop()
            self.assertEqual(stub.Idempotent(Text(value="y"), timeout=WAIT_S).value, "y")
            self.assertEqual(implementations[1 - used].failures, 3)

    def test_malformed_urls_are_refused(self):
        for url in ("tcp://127.0.0.1:1,", ",tcp://127.0.0.1:1", "tcp://127.0.0.1:1,http://127.0.0.1:2"):
            with self.assertRaises(ValueError):
                nrpc.Channel(url)


class LimitsTest(CallTest):
    server_options = {"max_workers": 1, "max_queued": 1, "max_message_bytes": 1000}

    def test_too_many_calls_are_told_when_to_come_again(self):
        first = self.stub.Echo.start(Text(value="wait"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        second = self.stub.Echo.start(Text(value="x"))
        error = self.fails(StatusCode.RESOURCE_EXHAUSTED, self.stub.Echo, Text())
        self.assertTrue(int(error.trailers.get("retry-after-ms")) > 0)
        self.implementation.go.set()
        self.assertEqual((first.result().value, second.result().value), ("wait", "x"))

    def test_answers_have_a_size(self):
        self.fails(StatusCode.RESOURCE_EXHAUSTED, self.stub.Echo, Text(value="large"))

    def test_bad_options_are_refused(self):
        for make in (
            lambda: nrpc.Server(stream_window_bytes=1),
            lambda: nrpc.Channel(self.url, stream_window_bytes=1 << 30),
            lambda: nrpc.Channel("tls+tcp://localhost:1"),
            lambda: self.server.listen("tls+tcp://127.0.0.1:0"),
        ):
            with self.assertRaises(ValueError):
                make()


class SmallChannelTest(CallTest):
    channel_options = {"max_outstanding": 1, "max_waiting": 1, "max_message_bytes": 1000}

    def test_calls_wait_in_line(self):
        first = self.stub.Echo.start(Text(value="wait"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        second = self.stub.Echo.start(Text(value="x"))
        self.fails(StatusCode.RESOURCE_EXHAUSTED, self.stub.Echo, Text())
        self.implementation.go.set()
        self.assertEqual((first.result().value, second.result().value), ("wait", "x"))

    def test_requests_have_a_size(self):
        self.fails(StatusCode.RESOURCE_EXHAUSTED, self.stub.Echo, Text(value="x" * 1000))


class TokenTest(CallTest):
    def setUp(self):
        with tempfile.NamedTemporaryFile("w", suffix=".tokens") as file:
            file.write("abcdefghijklmnop somebody role\n")
            file.flush()
            self.server_options = {"tokens_file": file.name}
            super().setUp()

    def test_tokens(self):
        self.fails(StatusCode.UNAUTHENTICATED, self.stub.Echo, Text())
        with nrpc.Channel(self.channel.url, token=lambda: "abcdefghijklmnop") as channel:
            self.assertEqual(nrpc.Stub(channel, service()).Echo(Text(value="x")).value, "x")


if __name__ == "__main__":
    unittest.main()
