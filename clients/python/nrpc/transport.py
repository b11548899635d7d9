# SPDX-License-Identifier: Apache-2.0
"""SP as nng speaks it over TCP, TLS and IPC: urls, the greeting, messages. docs/PROTOCOL.md, "Transport"."""
from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from . import loop

REQ, REP = 0x30, 0x31
FRAME_ROOM = 40 << 10  # what a frame may take beside its payload
GREETING_S = 10  # for TLS and the greeting together

_GREETING = struct.Struct(">4sHH")
_MAGIC = b"\0SP\0"
_IPC_MARK = b"\1"
_CHUNK = 64 << 10
_ID_BYTES = 4
_ID_BIT = 0x80000000


class TransportError(Exception):
    """The peer does not speak SP, or not as we need it."""


@dataclass(frozen=True)
class Address:
    """A url in parts."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_tls(self) -> bool:
        return self.scheme == "tls+tcp"

    @property
    def is_ipc(self) -> bool:
        return self.scheme == "ipc"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ipc://{self.path}" if self.is_ipc else f"{self.scheme}://{host}:{self.port}"


def parse_url(url: str) -> Address:
    """tcp://host:port, tls+tcp://host:port or ipc:///path. ValueError: it is none of these."""
    scheme, separator, rest = url.partition("://")
    if scheme == "ipc" and rest:
        return Address(scheme, path=rest)
    host, colon, port = rest.rpartition(":")
    if (
        separator
        and scheme in ("tcp", "tls+tcp")
        and colon
        and port.isascii()
        and port.isdigit()
        and int(port) < 65536
    ):
        return Address(scheme, host=host.removeprefix("[").removesuffix("]"), port=int(port))
    raise ValueError(f"{url!r} is no url like tcp://host:port, tls+tcp://host:port or ipc:///path")


def split_id(data: bytes) -> tuple[int, bytes]:
    """Request id and frame. TransportError: there is no id."""
    request_id = int.from_bytes(data[:_ID_BYTES], "big")
    if len(data) < _ID_BYTES or not request_id & _ID_BIT:
        raise TransportError("a message without a request id")
    return request_id, data[_ID_BYTES:]


class Pipe:
    """One connection that carries messages. On the loop's thread alone."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_ipc: bool, max_message_bytes: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._is_ipc = is_ipc
        self._max_bytes = max_message_bytes + FRAME_ROOM + _ID_BYTES
        peer = writer.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        self.on_bytes: Callable[[], None] = lambda: None  # some have arrived
        self.is_inside = False  # a message has begun, and has not ended
        loop.own(self)

    def fileno(self) -> int:
        """Its socket's."""
        sock = self._writer.get_extra_info("socket")
        return -1 if sock is None else sock.fileno()

    async def greet(self, own: int, wanted: int) -> None:
        """Says what we are and hears what the peer is."""
        self._writer.write(_GREETING.pack(_MAGIC, own, 0))
        magic, peer, _ = _GREETING.unpack(await self._reader.readexactly(_GREETING.size))
        if magic != _MAGIC or peer != wanted:
            raise TransportError(f"the peer is no SP socket of protocol {wanted:#x}")

    async def _read_exactly(self, size: int) -> bytes:
        """So many bytes; says whenever some of them arrive."""
        data = await self._reader.read(size)
        if len(data) == size:
            self.on_bytes()
            return data
        parts = bytearray(data)
        while data and len(parts) < size:
            self.is_inside = True
            self.on_bytes()
            data = await self._reader.read(min(size - len(parts), _CHUNK))
            parts += data
        if len(parts) < size:
            raise EOFError("the peer has closed it")
        self.on_bytes()
        return bytes(parts)

    async def read(self) -> tuple[int, bytes]:
        """The next message: request id and frame. EOFError: there is none any more."""
        self.is_inside = False
        if self._is_ipc and await self._read_exactly(1) != _IPC_MARK:
            raise TransportError("a message begins with a wrong byte")
        size = int.from_bytes(await self._read_exactly(8), "big")
        if size > self._max_bytes:
            raise TransportError(f"a message of {size} bytes")
        self.is_inside = size > 0
        return split_id(await self._read_exactly(size) if size else b"")

    def write(self, request_id: int, frame: bytes) -> None:
        """Sends a message; what the network does not take yet is kept."""
        head = struct.pack(">QI", len(frame) + _ID_BYTES, request_id)
        self._writer.write((_IPC_MARK if self._is_ipc else b"") + head + frame)

    def unwritten(self) -> int:
        """Bytes that the network has not taken."""
        return self._writer.transport.get_write_buffer_size()

    async def drain(self) -> None:
        """Waits until the network has taken most."""
        await self._writer.drain()

    def close(self) -> None:
        """Closes when all was sent."""
        self._writer.close()

    def abort(self) -> None:
        """Closes at once."""
        self._writer.transport.abort()


def _tune(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def connect(
    address: Address, context: ssl.SSLContext | None, server_name: str | None, max_message_bytes: int
) -> Pipe:
    """A connection to a server, greeted."""
    async with asyncio.timeout(GREETING_S):
        if address.is_ipc:
            reader, writer = await asyncio.open_unix_connection(address.path)
        elif context:
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, server_hostname=server_name or address.host
            )
        else:
            reader, writer = await asyncio.open_connection(address.host, address.port)
        _tune(writer)
        pipe = Pipe(reader, writer, address.is_ipc, max_message_bytes)
        try:
            await pipe.greet(REQ, REP)
        except BaseException:
            pipe.abort()
            raise
        return pipe


async def listen(
    address: Address,
    context: ssl.SSLContext | None,
    max_message_bytes: int,
    accept: Callable[[Pipe], Awaitable[None]],
) -> tuple[asyncio.Server, Address]:
    """A listener, and its address with the real port. accept gets each connection before it is greeted."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _tune(writer)
        await accept(Pipe(reader, writer, address.is_ipc, max_message_bytes))

    if address.is_ipc:
        return await asyncio.start_unix_server(accepted, address.path), address
    host = "0.0.0.0" if address.host in ("", "*") else address.host
    handshake_s = GREETING_S if context else None
    server = await asyncio.start_server(
        accepted, host, address.port, ssl=context, ssl_handshake_timeout=handshake_s
    )
    port = server.sockets[0].getsockname()[1]
    return server, Address(address.scheme, address.host, port)
