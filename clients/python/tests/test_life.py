# SPDX-License-Identifier: Apache-2.0
"""Lives and ends: timeouts of any kind, handlers that want to end the process, forks, calls and channels that the
program drops, servers that drain, peers that are slow."""
import gc
import math
import os
import signal
import struct
import sys
import threading
import time
import unittest

import nrpc
from nrpc import StatusCode
from nrpc.frame import Frame, Kind, encode
from nrpc.link import CONNECTION_ID
from raw import RawServer, connect
from schema import Text, service
from test_call import WAIT_S, CallTest, Implementation, wait_until


class TimeoutTest(CallTest):
    def test_for_ever(self):
        for timeout in (None, math.inf, 1e15, 1e9, 10**30):
            self.assertEqual(self.stub.Echo(Text(value="x"), timeout=timeout).value, "x", timeout)

    def test_for_ever_before_there_is_a_connection(self):
        with nrpc.Channel("tcp://127.0.0.1:1") as channel:
            stub = nrpc.Stub(channel, service())
            call = stub.Echo.start(Text(), timeout=math.inf, wait_for_ready=True)
            self.fails(StatusCode.DEADLINE_EXCEEDED, stub.Echo, Text(), timeout=0.2, wait_for_ready=True)
            self.assertFalse(call.has_ended())

    def test_passed(self):
        for timeout in (0, -1, -1e-9, -1e300, -math.inf):
            self.fails(StatusCode.DEADLINE_EXCEEDED, self.stub.Echo, Text(value="hang"), timeout=timeout)
        self.assertFalse(self.implementation.seen.is_set())  # the server has heard nothing of it

    def test_no_time(self):
        self.assertRaises(ValueError, self.stub.Echo, Text(), timeout=math.nan)
        for timeout in ("5s", "5", [], True):
            self.assertRaises(TypeError, self.stub.Echo, Text(), timeout=timeout)
        self.assertEqual(self.stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")

    def test_options(self):
        for name in ("connect_timeout_s", "reconnect_min_s", "keepalive_s", "keepalive_timeout_s"):
            for value in (math.nan, math.inf, -1):
                self.assertRaises(ValueError, nrpc.Channel, "tcp://127.0.0.1:1", **{name: value})


class Exiting(Implementation):
    def Echo(self, request, context):
        if request.value == "exit":
            sys.exit("over")
        if request.value == "interrupt":
            raise KeyboardInterrupt
        return super().Echo(request, context)

    def Count(self, request, context):
        yield Text(value="one")
        raise SystemExit(3)


class ExitTest(unittest.TestCase):
    def test_a_handler_ends_its_call_only(self):
        server = nrpc.Server(max_workers=2, max_queued=2)
        self.addCleanup(server.stop)
        server.add(service(), Exiting())
        with nrpc.Channel(server.listen("tcp://127.0.0.1:0")) as channel, self.assertLogs("nrpc", "ERROR"):
            stub = nrpc.Stub(channel, service())
            for _ in range(8):  # more than workers and queue
                for value in ("exit", "interrupt"):
                    with self.assertRaises(nrpc.RpcError) as caught:
                        stub.Echo(Text(value=value), timeout=WAIT_S)
                    self.assertEqual(caught.exception.code, StatusCode.UNKNOWN)
                with self.assertRaises(nrpc.RpcError) as caught:
                    list(stub.Count(Text(), timeout=WAIT_S))
                self.assertEqual(caught.exception.code, StatusCode.UNKNOWN)
            self.assertEqual(stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")
            self.assertEqual(server.drain(WAIT_S), 0)


@unittest.skipUnless(hasattr(os, "fork"), "no fork here")
class ForkTest(CallTest):
    def in_child(self, function):
        """Runs it in a fork; its exit status."""
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                signal.alarm(WAIT_S)
                code = function()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_a_channel_of_the_child(self):
        self.stub.Echo(Text(value="before"))

        def child():
            with nrpc.Channel(self.channel.url) as channel:
                return 7 if nrpc.Stub(channel, service()).Echo(Text(value="x"), timeout=5).value == "x" else 1

        self.assertEqual(self.in_child(child), 7)
        self.assertEqual(self.stub.Echo(Text(value="after"), timeout=WAIT_S).value, "after")

    def test_a_channel_of_the_parent(self):
        self.stub.Echo(Text(value="before"))

        def child():
            try:
                self.stub.Echo(Text(value="x"), timeout=5)
            except nrpc.RpcError as e:
                self.channel.close()
                return 8 if e.code == StatusCode.UNAVAILABLE else 1
            return 2

        self.assertEqual(self.in_child(child), 8)
        self.assertEqual(self.stub.Echo(Text(value="after"), timeout=WAIT_S).value, "after")

    def test_the_child_holds_no_connection_open(self):
        raw = RawServer()
        self.addCleanup(raw.close)
        channel = nrpc.Channel(raw.url)
        peer = raw.accept()
        self.assertTrue(wait_until(channel.is_connected))
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        thread = threading.Thread(target=channel.close)
        thread.start()
        self.assertEqual(peer.receive_kind(Kind.GOODBYE).kind, Kind.GOODBYE)
        peer.send(Frame(Kind.GOODBYE), CONNECTION_ID)
        thread.join()
        self.assertTrue(peer.is_closed())  # though the child lives
        os.close(write)
        os.close(read)
        os.waitpid(pid, 0)


class DropTest(CallTest):
    def test_a_loop_that_is_left(self):
        for message in self.stub.Count(Text(value="100000")):
            self.assertEqual(message.value.strip(), "0")
            break
        gc.collect()
        self.assertTrue(self.implementation.seen.wait(WAIT_S))  # the handler was cancelled
        self.assertEqual(self.stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")

    def test_a_call_that_is_dropped(self):
        for _ in range(40):  # more than there are workers
            self.stub.Echo.start(Text(value="hang"))
        gc.collect()
        self.assertEqual(self.stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")

    def test_a_result_that_is_kept(self):
        call = self.stub.Echo.start(Text(value="wait"))
        gc.collect()
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        self.implementation.go.set()
        self.assertEqual(call.result().value, "wait")

    def test_channels_that_are_dropped(self):
        before = len(self.server._connections)  # pylint: disable=protected-access
        for _ in range(20):
            stub = nrpc.Stub(nrpc.Channel(self.channel.url), service())
            self.assertEqual(stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")
        del stub
        gc.collect()
        self.assertTrue(wait_until(lambda: len(self.server._connections) <= max(before, 1)))

    def test_a_call_holds_its_channel(self):
        call = nrpc.Stub(nrpc.Channel(self.channel.url), service()).Count(Text(value="3"))
        gc.collect()
        self.assertEqual([m.value.strip() for m in call], ["0", "1", "2"])


class DrainTest(CallTest):
    def test_calls_go_to_the_next_server_behind_the_address(self):
        url = self.channel.url
        call = self.stub.Echo.start(Text(value="wait"))
        self.assertTrue(self.implementation.seen.wait(WAIT_S))
        drained = []
        thread = threading.Thread(target=lambda: drained.append(self.server.drain(WAIT_S)))
        thread.start()
        self.assertTrue(wait_until(lambda: not self.channel.is_connected()))
        with nrpc.Server() as second:
            second.add(service(), Implementation())
            self.assertEqual(second.listen(url), url)
            began = time.monotonic()
            self.assertEqual(self.stub.Echo(Text(value="new"), timeout=WAIT_S).value, "new")
            self.assertLess(time.monotonic() - began, 1.5)
            self.assertFalse(call.has_ended())  # beside the old connection, which goes on
            self.implementation.go.set()
            self.assertEqual(call.result().value, "wait")
            thread.join()
            self.assertEqual(drained, [0])
            self.assertEqual(self.stub.Echo(Text(value="x"), timeout=WAIT_S).value, "x")

    def test_a_call_that_was_not_begun_goes_elsewhere(self):
        raw = RawServer()
        self.addCleanup(raw.close)
        with nrpc.Channel(raw.url) as channel:
            call = nrpc.Stub(channel, service()).Echo.start(Text(value="x"), timeout=WAIT_S)  # not idempotent
            first = raw.accept()
            request_id, _ = first.receive()
            first.send(Frame(Kind.DRAIN), CONNECTION_ID)
            refusal = Frame(Kind.RESPONSE, status=StatusCode.UNAVAILABLE, not_begun=1)
            first.send(refusal, request_id)
            second = raw.accept()
            request_id, frame = second.receive()
            self.assertEqual(Text.FromString(frame.payloads[0]).value, "x")
            second.send(Frame(Kind.RESPONSE, payloads=frame.payloads), request_id)
            self.assertEqual((call.result().value, call.attempts), ("x", 1))

    def test_a_call_that_nobody_begins_ends(self):
        raw = RawServer()
        self.addCleanup(raw.close)
        with nrpc.Channel(raw.url, connect_timeout_s=0.3) as channel:
            call = nrpc.Stub(channel, service()).Echo.start(Text(value="x"), timeout=WAIT_S)
            peer = raw.accept()
            peer.sock.settimeout(1)
            requests = 0
            try:
                while True:
                    request_id, _ = peer.receive()
                    requests += 1
                    time.sleep(0.01)
                    peer.send(Frame(Kind.RESPONSE, status=StatusCode.UNAVAILABLE, not_begun=1), request_id)
            except TimeoutError:
                pass
            self.assertGreater(requests, 2)
            self.fails(StatusCode.UNAVAILABLE, call.result)

    def test_a_server_serves_what_crosses_its_drain(self):
        self.channel.close()
        with connect(self.channel.url) as peer:
            peer.acknowledges = False
            thread = threading.Thread(target=self.server.drain, args=(WAIT_S,))
            echo = Frame(Kind.REQUEST, method="/test.Test/Echo", payloads=[Text(value="wait").SerializeToString()])
            peer.send(echo, 0x80000001)
            self.assertTrue(self.implementation.seen.wait(WAIT_S))
            thread.start()
            peer.receive_kind(Kind.DRAIN)
            echo.payloads = [Text(value="x").SerializeToString()]
            peer.send(echo, 0x80000002)  # says nothing of what was received
            request_id, frame = peer.receive()
            self.assertEqual((request_id, frame.status), (0x80000002, 0))
            echo.ack = 2  # the DRAIN and an answer
            peer.send(echo, 0x80000003)
            request_id, frame = peer.receive()
            self.assertEqual((request_id, frame.status, frame.not_begun), (0x80000003, StatusCode.UNAVAILABLE, 1))
            self.implementation.go.set()
            thread.join()

    def test_who_says_drain_and_nothing_else_is_dialed_with_pauses(self):
        raw = RawServer()
        self.addCleanup(raw.close)
        accepted = []

        def serve():
            try:
                while True:
                    peer = raw.accept()
                    accepted.append(peer)
                    peer.send(Frame(Kind.DRAIN), CONNECTION_ID)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        with nrpc.Channel(raw.url):
            time.sleep(1)
        self.assertLess(len(accepted), 12)
        self.assertGreater(len(accepted), 2)


class SlowPeerTest(unittest.TestCase):
    """Messages that take longer than the keepalive times."""

    def setUp(self):
        self.raw = RawServer()
        self.addCleanup(self.raw.close)

    def dribble(self, peer, request_id, data, seconds):
        """Sends a message in so many small steps as fill the time."""
        whole = struct.pack(">QI", len(data) + 4, request_id) + data
        steps = 40
        size = len(whole) // steps + 1
        for at in range(0, len(whole), size):
            peer.sock.sendall(whole[at : at + size])
            time.sleep(seconds / steps)

    def test_a_long_answer(self):
        with nrpc.Channel(self.raw.url, keepalive_s=0.3, keepalive_timeout_s=0.2) as channel:
            call = nrpc.Stub(channel, service()).Echo.start(Text(value="x"), timeout=WAIT_S)
            peer = self.raw.accept()
            request_id, _ = peer.receive()
            answer = Text(value="y" * 100000).SerializeToString()
            self.dribble(peer, request_id, encode(Frame(Kind.RESPONSE, payloads=[answer])), 2)
            self.assertEqual(call.result().value, "y" * 100000)
            self.assertEqual(peer.receive_kind(Kind.ACK).kind, Kind.ACK)  # unasked, while it arrived

    def test_a_long_request(self):
        server = nrpc.Server(keepalive_s=0.3, keepalive_timeout_s=0.2)
        self.addCleanup(server.stop)
        server.add(service(), Implementation())
        with connect(server.listen("tcp://127.0.0.1:0")) as peer:
            message = Text(value="z" * 100000).SerializeToString()
            request = Frame(Kind.REQUEST, method="/test.Test/Echo", payloads=[message])
            self.dribble(peer, 0x80000001, encode(request), 2)
            acks = 0
            while True:
                request_id, frame = peer.receive()
                acks += frame.kind == Kind.ACK
                if request_id != CONNECTION_ID:
                    break
            self.assertEqual(frame.status, 0)
            self.assertGreaterEqual(acks, 2)
            self.assertLessEqual(acks, 8)

    def test_who_stops_in_the_middle_is_found(self):
        with nrpc.Channel(self.raw.url, keepalive_s=0.2, keepalive_timeout_s=0.2) as channel:
            call = nrpc.Stub(channel, service()).Echo.start(Text(value="x"), timeout=WAIT_S)
            peer = self.raw.accept()
            request_id, _ = peer.receive()
            peer.sock.sendall(struct.pack(">QI", 100000, request_id) + b"x" * 100)
            began = time.monotonic()
            with self.assertRaises(nrpc.RpcError) as caught:
                call.result()
            self.assertEqual(caught.exception.code, StatusCode.UNAVAILABLE)
            self.assertLess(time.monotonic() - began, 3)


if __name__ == "__main__":
    unittest.main()
