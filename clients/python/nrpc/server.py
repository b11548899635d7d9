# SPDX-License-Identifier: Apache-2.0
"""The server: services, listeners, drain. Its calls are in server_connection.py."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor import ServiceDescriptor

from . import loop, tls, transport
from .auth import Tokens
from .connection import GOODBYE_S
from .flow import DEFAULT_WINDOW, check_window
from .method import Method, methods_of
from .server_connection import ServerConnection


@dataclass(frozen=True)
class ServerOptions:
    """How a server behaves; the defaults suit most."""

    max_workers: int = 16  # threads for handlers: calls that run at a time
    max_queued: int = 1024  # calls that may wait for a thread; more are answered RESOURCE_EXHAUSTED
    max_connections: int = 1024  # more are hung up on
    max_calls_per_connection: int = 4096  # under way; more are answered RESOURCE_EXHAUSTED
    max_message_bytes: int = 4 << 20  # of a request or an answer
    stream_window_bytes: int = DEFAULT_WINDOW  # of a stream's messages received and not yet read
    tls: tls.TlsOptions | None = None
    tokens_file: str | None = None  # lines "token subject role,role"; None: everybody may call
    keepalive_s: float | None = 30.0  # a silent connection is asked for a sign of life
    keepalive_timeout_s: float = 10.0  # and closed after this


class Server:
    """Serves services to clients. Any thread."""

    def __init__(self, options: ServerOptions = ServerOptions(), **more: object) -> None:
        """Options may also be given by name. ValueError, OSError: an option or the file of tokens is not in
        order."""
        self.options = ServerOptions(**{**vars(options), **more}) if more else options
        check_window(self.options.stream_window_bytes)
        self.tokens = Tokens(self.options.tokens_file) if self.options.tokens_file else None
        self.methods: dict[str, tuple[Method, Callable]] = {}
        self.workers = ThreadPoolExecutor(self.options.max_workers, thread_name_prefix="nrpc-worker")
        # On the loop's thread alone:
        self.running = 0  # calls given to the workers
        self.is_draining = False
        self._greeting = 0  # connections that have not said yet what they are
        self._connections: set[ServerConnection] = set()
        self._listeners: list[tuple[asyncio.Server, transport.Address]] = []

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, service: ServiceDescriptor, implementation: object) -> None:
        """Adds a service; before the first listen. The implementation has a method under the name of each of
        the .proto file that it implements.

        Handlers are called with the request, or an iterator of requests if the client streams, and a Context.
        They return the answer, or an iterable of messages if the server streams. They run on the workers'
        threads and may block.
        """
        for method in methods_of(service):
            handler = getattr(implementation, method.name, None)
            if handler:
                self.methods[method.path] = method, handler

    def listen(self, url: str) -> str:
        """Opens a listener; may be called again for more. Returns its url: with tcp port 0 the system chooses
        a port. ValueError, OSError: it cannot be."""
        address = transport.parse_url(url)
        context = tls.server_context(self.options.tls) if address.is_tls else None
        listener, real = loop.run(
            transport.listen(address, context, self.options.max_message_bytes, self._accept)
        )
        self._listeners.append((listener, real))
        return str(real)

    def drain(self, timeout: float) -> int:
        """Closes the listeners, refuses new calls, asks the clients to go elsewhere, and waits until all
        running calls are answered and the clients have gone. Returns how many calls still run (0: drained).
        """
        return loop.run(self._drain(timeout))

    def stop(self) -> None:
        """Closes everything, cancels the running calls and waits for their handlers."""
        loop.run(self._stop())
        self.workers.shutdown()

    # ---- on the loop's thread

    async def _accept(self, pipe: transport.Pipe) -> None:
        if len(self._connections) + self._greeting >= self.options.max_connections:
            pipe.abort()
            return
        self._greeting += 1
        try:
            async with asyncio.timeout(transport.GREETING_S):
                await pipe.greet(transport.REP, transport.REQ)
        except (OSError, EOFError, TimeoutError, transport.TransportError):
            pipe.abort()
            return
        finally:
            self._greeting -= 1
        connection = ServerConnection(self, pipe)
        self._connections.add(connection)
        if self.is_draining:
            connection.say_drain()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    def _close_listeners(self) -> None:
        for listener, address in self._listeners:
            listener.close()
            if address.is_ipc:
                Path(address.path).unlink(missing_ok=True)
        self._listeners.clear()

    async def _wait_for(self, condition: Callable[[], bool], timeout: float) -> None:
        end = asyncio.get_running_loop().time() + timeout
        while not condition() and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.005)

    async def _drain(self, timeout: float) -> int:
        self.is_draining = True
        self._close_listeners()
        for connection in self._connections:
            connection.say_drain()
        await self._wait_for(lambda: not self.running, timeout)
        if not self.running:
            await self._wait_for(lambda: not self._connections, min(timeout, 1.0))
        return self.running

    async def _stop(self) -> None:
        self.is_draining = True
        self._close_listeners()
        for connection in list(self._connections):
            connection.end_calls("the server stops")
            connection.say_goodbye()
        await self._wait_for(lambda: not self._connections, 2 * GOODBYE_S)
        for connection in list(self._connections):
            connection.pipe.abort()
