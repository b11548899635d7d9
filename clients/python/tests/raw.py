# SPDX-License-Identifier: Apache-2.0
"""A peer that says what a test wants it to say, right or wrong."""
from __future__ import annotations

import socket
import struct

from nrpc.frame import Frame, Kind, encode, parse
from nrpc.link import CONNECTION_ID

TIMEOUT_S = 10
ACK_FRAMES = 16  # received, after which the peer says so
REQ, REP = b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x31\0\0"
ID = 0x80000001


class RawPeer:
    """A greeted connection."""

    def __init__(self, sock: socket.socket, own: bytes) -> None:
        self.sock = sock
        sock.settimeout(TIMEOUT_S)
        sock.sendall(own)
        self._read(8)
        self.acknowledges = True
        self._received = 0

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send_bytes(self, request_id: int, data: bytes) -> None:
        """Any bytes as a message."""
        self.sock.sendall(struct.pack(">QI", len(data) + 4, request_id) + data)

    def send(self, frame: Frame, request_id: int = ID) -> None:
        """A frame."""
        self.send_bytes(request_id, encode(frame))

    def receive(self) -> tuple[int, Frame]:
        """The next frame. EOFError: there is none."""
        size = struct.unpack(">Q", self._read(8))[0]
        data = self._read(size)
        self._received += 1
        if self.acknowledges and self._received % ACK_FRAMES == 0:
            self.send(Frame(Kind.ACK, ack=self._received), CONNECTION_ID)
        return struct.unpack(">I", data[:4])[0], parse(data[4:])

    def receive_of_call(self) -> Frame:
        """The next frame of a call."""
        request_id = CONNECTION_ID
        while request_id == CONNECTION_ID:
            request_id, frame = self.receive()
        return frame

    def receive_kind(self, kind: Kind) -> Frame:
        """The next frame of this kind."""
        while True:
            frame = self.receive()[1]
            if frame.kind == kind:
                return frame

    def is_closed(self) -> bool:
        """Whether the other side hangs up, whatever it says before."""
        try:
            while True:
                self.receive()
        except (EOFError, ConnectionError):
            return True

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(min(size - len(data), 65536))
            if not more:
                raise EOFError
            data += more
        return data


def connect(url: str) -> RawPeer:
    """To a server."""
    host, port = url.removeprefix("tcp://").split(":")
    return RawPeer(socket.create_connection((host, int(port)), TIMEOUT_S), REQ)


class RawServer:
    """Accepts raw connections."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(TIMEOUT_S)
        self.url = "tcp://127.0.0.1:%d" % self.sock.getsockname()[1]

    def accept(self) -> RawPeer:
        """The next connection."""
        return RawPeer(self.sock.accept()[0], REP)

    def close(self) -> None:
        """No more connections."""
        self.sock.close()
