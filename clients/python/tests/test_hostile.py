# SPDX-License-Identifier: Apache-2.0
"""Peers that do not keep to the protocol, and connections that are lost."""
import os
import socket
import threading
import unittest

import nrpc
from nrpc import StatusCode
from nrpc.frame import Frame, Kind, encode
from nrpc.link import CONNECTION_ID
from raw import ID, RawServer, connect
from schema import Text, service

REQUEST = Text(value="x").SerializeToString()


def request(method, *payloads, **fields):
    """A REQUEST frame."""
    return Frame(Kind.REQUEST, method=f"/test.Test/{method}", payloads=list(payloads), **fields)


class Implementation:
    def __init__(self):
        self.over = threading.Event()

    def Echo(self, request, context):
        return request

    def Count(self, request, context):
        while True:
            yield Text(value="x" * 1000)

    def Sum(self, requests, context):
        context.wait_for_cancel(10)
        self.over.set()
        return Text()


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.implementation = Implementation()
        self.server = nrpc.Server(
            keepalive_s=0.1, keepalive_timeout_s=5.0, max_message_bytes=100000, max_connections=2
        )
        self.addCleanup(self.server.stop)
        self.server.add(service(), self.implementation)
        self.url = self.server.listen("tcp://127.0.0.1:0")
        self.peer = connect(self.url)
        self.addCleanup(self.peer.sock.close)

    def answered(self, code):
        frame = self.peer.receive_kind(Kind.RESPONSE)
        self.assertEqual(frame.status, code, frame.status_text)

    def still_serves(self):
        self.peer.send(request("Echo", REQUEST), ID + 99)
        self.answered(StatusCode.OK)

    def test_mistakes_end_the_call_alone(self):
        for frame, code in (
            (request("Nothing", b""), StatusCode.UNIMPLEMENTED),
            (request("Echo"), StatusCode.UNIMPLEMENTED),
            (request("Echo", b"", b""), StatusCode.UNIMPLEMENTED),
            (request("Echo", b"\xff"), StatusCode.INVALID_ARGUMENT),
            (request("Echo", REQUEST, version=2), StatusCode.UNIMPLEMENTED),
        ):
            self.peer.send(frame)
            self.answered(code)
        self.peer.send_bytes(ID, b"\xff\xff")
        self.answered(StatusCode.INVALID_ARGUMENT)
        self.still_serves()

    def test_frames_share_a_message(self):
        frames = (
            (ID, request("Echo", REQUEST)),
            (ID + 1, request("Nothing", b"")),
            (CONNECTION_ID, Frame(Kind.PING)),
        )
        payloads = [request_id.to_bytes(4, "big") + encode(f) for request_id, f in frames]
        batch = Frame(
            Kind.BATCH, payloads=[*payloads, CONNECTION_ID.to_bytes(4, "big") + encode(Frame(Kind.BATCH))]
        )
        self.peer.send(batch, CONNECTION_ID)
        kinds = []
        while len(kinds) < 3:
            kind = self.peer.receive()[1].kind
            kinds += [kind] if kind != Kind.PING else []  # it was silent for long, on a busy machine
        self.assertEqual(sorted(kinds), [Kind.RESPONSE, Kind.RESPONSE, Kind.ACK])

    def test_a_batch_of_what_is_no_frame_is_hung_up_on(self):
        self.peer.send(Frame(Kind.BATCH, payloads=[b"abc"]), CONNECTION_ID)
        self.assertTrue(self.peer.is_closed())

    def test_frames_that_belong_nowhere_are_dropped(self):
        for kind in (
            Kind.MESSAGE,
            Kind.HALF_CLOSE,
            Kind.CANCEL,
            Kind.CREDIT,
            Kind.RESPONSE,
            Kind.GOODBYE,
            Kind.ACK,
            12,
            0,
        ):
            self.peer.send(Frame(kind, payloads=[b"x"]))
        self.peer.send_bytes(CONNECTION_ID, b"\xff")
        self.peer.send(Frame(77), CONNECTION_ID)
        self.still_serves()

    def test_more_than_the_credit_ends_the_call(self):
        self.peer.send(request("Sum"))
        for _ in range(300):
            self.peer.send(Frame(Kind.MESSAGE, payloads=[b"x" * 1000]))
        self.answered(StatusCode.RESOURCE_EXHAUSTED)
        self.assertTrue(self.implementation.over.wait(10))

    def test_a_malformed_frame_of_a_running_call_ends_it(self):
        self.peer.send(request("Sum"))
        self.peer.send_bytes(ID, b"\xff")
        self.answered(StatusCode.INVALID_ARGUMENT)
        self.still_serves()

    def test_a_message_after_the_last_ends_the_call(self):
        self.peer.send(request("Sum"))
        self.peer.send(Frame(Kind.HALF_CLOSE))
        self.peer.send(Frame(Kind.MESSAGE, payloads=[b""]))
        self.answered(StatusCode.RESOURCE_EXHAUSTED)

    def test_a_lost_connection_cancels_its_calls(self):
        self.peer.send(request("Sum"))
        self.peer.receive_kind(Kind.CREDIT)
        self.peer.sock.close()
        self.assertTrue(self.implementation.over.wait(10))

    def test_boundless_credit_fills_no_memory(self):
        self.peer.acknowledges = False
        self.peer.send(request("Count", REQUEST, credit=2**32 - 1))
        frames = [self.peer.receive_kind(Kind.MESSAGE) for _ in range(48)]
        self.peer.sock.settimeout(0.3)
        with self.assertRaises(TimeoutError):  # without an ACK no more than the window comes
            while True:
                self.assertNotEqual(self.peer.receive()[1].kind, Kind.MESSAGE)
        (connection,) = self.server._connections
        self.assertLess(connection.link.held_bytes, 1 << 20)
        self.assertEqual(len(frames), 48)

    def test_a_peer_that_does_not_read_is_told_once(self):
        ping = encode(Frame(Kind.PING))
        for _ in range(50000):
            self.peer.send_bytes(CONNECTION_ID, ping)
        (connection,) = self.server._connections
        self.assertLess(connection.pipe.unwritten(), 1 << 20)
        self.still_serves()

    def test_what_is_no_sp_is_hung_up_on(self):
        sizes = ((1 << 40).to_bytes(8, "big"), (200000).to_bytes(8, "big"), bytes(8), os.urandom(64))
        for data in sizes:
            with connect(self.url) as peer:
                peer.sock.sendall(data)
                self.assertTrue(peer.is_closed())
        host, port = self.url.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), 10) as sock:
            sock.sendall(b"\0SP\0\0\x10\0\0" + bytes(8))
            while sock.recv(100):
                pass

    def test_connections_are_limited(self):
        with connect(self.url), socket.create_connection(
            tuple(self.url.removeprefix("tcp://").split(":")), 10
        ) as third:
            try:
                self.assertEqual(third.recv(100), b"")
            except ConnectionResetError:
                pass

    def test_asks_for_a_sign_of_life(self):
        self.peer.receive_kind(Kind.PING)
        self.peer.send(Frame(Kind.ACK), CONNECTION_ID)
        self.still_serves()

    def test_goodbye_is_answered(self):
        self.peer.send(Frame(Kind.GOODBYE), CONNECTION_ID)
        self.peer.receive_kind(Kind.GOODBYE)
        self.assertTrue(self.peer.is_closed())


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.server = RawServer()
        self.addCleanup(self.server.close)
        self.channel = nrpc.Channel(
            self.server.url, keepalive_s=0.1, keepalive_timeout_s=0.1, connect_timeout_s=0.2
        )
        self.addCleanup(self.channel.close)
        self.stub = nrpc.Stub(self.channel, service())
        self.peer = self.server.accept()
        self.addCleanup(self.peer.sock.close)

    def begin(self, method="Echo", message=Text()):
        call = getattr(self.stub, method).start(message, wait_for_ready=True)
        request_id, frame = self.peer.receive()
        self.assertEqual(frame.kind, Kind.REQUEST)
        return call, request_id

    def fails(self, code, call):
        with self.assertRaises(nrpc.RpcError) as caught:
            call.read()
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception

    def test_answers_that_are_none(self):
        for answer in (
            Frame(Kind.RESPONSE),
            Frame(Kind.RESPONSE, payloads=[b"", b""]),
            Frame(Kind.MESSAGE, payloads=[b""]),
            Frame(Kind.HALF_CLOSE),
            Frame(Kind.RESPONSE, payloads=[b""], version=2),
            Frame(Kind.RESPONSE, payloads=[b"\xff"]),
        ):
            call, request_id = self.begin()
            self.peer.send(answer, request_id)
            self.fails(StatusCode.INTERNAL, call)
            if answer.payloads != [b"\xff"]:
                self.peer.receive_kind(Kind.CANCEL)

    def test_more_than_was_granted(self):
        call, request_id = self.begin("Count")
        for _ in range(300):
            self.peer.send(Frame(Kind.MESSAGE, payloads=[b"x" * 1000]), request_id)
        self.peer.receive_kind(Kind.CANCEL)
        self.assertEqual(call.code(), StatusCode.INTERNAL)

    def test_a_message_of_a_call_unknown_is_answered_cancel(self):
        self.peer.send(Frame(Kind.MESSAGE, payloads=[b""]), ID + 50)
        self.assertEqual(self.peer.receive_of_call().kind, Kind.CANCEL)

    def test_an_unknown_status_is_kept(self):
        call, request_id = self.begin()
        self.peer.send(Frame(Kind.RESPONSE, status=99, status_text="new"), request_id)
        self.assertEqual(self.fails(99, call).text, "new")

    def test_a_lost_connection_is_made_again(self):
        call, _ = self.begin()
        self.peer.sock.close()
        self.fails(StatusCode.UNAVAILABLE, call)
        later = self.stub.Echo.start(Text(), wait_for_ready=True)
        with self.server.accept() as peer:
            request_id, _ = peer.receive()
            peer.send(Frame(Kind.RESPONSE, payloads=[b""]), request_id)
            self.assertEqual(later.result(), Text())

    def test_a_goodbye_ends_the_calls_and_is_answered(self):
        call, _ = self.begin()
        self.peer.send(Frame(Kind.GOODBYE), CONNECTION_ID)
        self.fails(StatusCode.UNAVAILABLE, call)
        self.peer.receive_kind(Kind.GOODBYE)

    def test_a_silent_server_is_given_up(self):
        call, _ = self.begin()
        self.peer.receive_kind(Kind.PING)
        self.fails(StatusCode.UNAVAILABLE, call)

    def test_no_server(self):
        self.peer.sock.close()
        self.server.close()
        call = self.stub.Echo.start(Text())
        self.fails(StatusCode.UNAVAILABLE, call)
        patient = self.stub.Echo.start(Text(), wait_for_ready=True, timeout=0.4)
        self.fails(StatusCode.DEADLINE_EXCEEDED, patient)

    def test_what_is_no_sp_is_left(self):
        self.peer.send_bytes(CONNECTION_ID, b"")
        self.peer.sock.sendall(b"\xff" * 8)
        self.assertTrue(self.peer.is_closed())
        self.server.accept().sock.close()


if __name__ == "__main__":
    unittest.main()
