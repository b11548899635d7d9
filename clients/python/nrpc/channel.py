# SPDX-License-Identifier: Apache-2.0
"""The client's side of a connection: calls wait in line for it, keep their deadlines, are tried again."""
from __future__ import annotations

import asyncio
import math
import random
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message

from . import loop, tls, transport
from .call import Call, CallCore
from .connection import GOODBYE_S, Connection
from .flow import DEFAULT_WINDOW, check_window
from .frame import VERSION, Frame, Kind, Metadata, MetadataLike, make_metadata
from .method import Method
from .retry import RetryBudget, RetryOptions, jittered, pushback_ms
from .status import RpcError, StatusCode, status_code


@dataclass(frozen=True)
class ChannelOptions:
    """How a channel behaves; the defaults suit most."""

    token: str | Callable[[], str] | None = None  # sent with every call as "authorization: Bearer <token>"
    tls: tls.TlsOptions | None = None
    retry: RetryOptions = field(default_factory=RetryOptions)
    max_message_bytes: int = 4 << 20  # both directions
    max_outstanding: int = 1024  # calls under way; more wait in line
    max_waiting: int = 4096  # calls in line; more fail RESOURCE_EXHAUSTED
    connect_timeout_s: float = 2.0  # how long a call without wait_for_ready waits for a connection
    reconnect_min_s: float = 0.02  # pause before connecting again, doubled each time, with jitter
    reconnect_max_s: float = 1.0
    keepalive_s: float | None = 10.0  # a silent connection with calls on it is asked for a sign of life
    keepalive_timeout_s: float = 5.0  # and closed after this
    stream_window_bytes: int = DEFAULT_WINDOW  # of a stream's messages received and not yet read


class ClientConnection(Connection):
    """The calls on one connection."""

    def __init__(self, channel: ChannelCore, pipe: transport.Pipe) -> None:
        super().__init__(pipe, channel.options.keepalive_s, channel.options.keepalive_timeout_s)
        self._channel = channel
        self.calls: dict[int, CallCore] = {}
        self._last_id = 0
        self._is_leaving = False
        self.left = asyncio.Event()  # it takes no more calls, or has ended
        self.has_answered = False  # a call

    def takes_calls(self) -> bool:
        """Whether one more may be placed."""
        return (
            not self._is_leaving
            and not self.link.said_goodbye
            and len(self.calls) < self._channel.options.max_outstanding
        )

    def is_leaving(self) -> bool:
        """Whether it takes no more calls for good."""
        return self._is_leaving or self.link.said_goodbye

    def is_idle(self) -> bool:
        return not self.calls

    def place(self, call: CallCore) -> None:
        """Sends the request."""
        while True:
            self._last_id = self._last_id + 1 & 0x7FFFFFFF
            call.request_id = self._last_id | 0x80000000
            if self._last_id and call.request_id not in self.calls:
                break
        call.connection = self
        call.attempts += 1
        self.calls[call.request_id] = call
        if call.deadline is not None:
            call.request.timeout_us = max(1, int((call.deadline - self.loop.time()) * 1e6))
        self.link.send(call.request_id, call.request)
        call.flow.connect(self.link, call.request_id)
        if call.is_half_closed:
            call.flow.half_close()

    def release(self, call: CallCore) -> None:
        """The call has ended."""
        del self.calls[call.request_id]
        call.connection = None
        if self._is_leaving and not self.calls:
            self.say_goodbye()

    def take_drain(self) -> None:
        self._is_leaving = True
        self.left.set()
        if not self.calls:
            self.say_goodbye()

    def end_calls(self, text: str) -> None:
        self._is_leaving = True
        self.left.set()
        for call in list(self.calls.values()):
            error = RpcError(StatusCode.UNAVAILABLE, f"{self._channel.url}: {text}")
            self._channel.end_attempt(call, error)

    def take_call_frame(self, request_id: int, frame: Frame | None) -> None:
        call = self.calls.get(request_id)
        if call is None:  # it has ended before
            if frame and frame.kind == Kind.MESSAGE and self.link.has_room():
                self.link.send(request_id, Frame(Kind.CANCEL))
        elif frame is None or frame.version != VERSION:
            self._break(call, "a malformed answer")
        elif frame.kind == Kind.RESPONSE:
            self._take_response(call, frame)
        elif frame.kind == Kind.CREDIT and call.method.client_streams:
            call.flow.add_credit(frame.credit)
        elif frame.kind != Kind.MESSAGE or not call.method.server_streams:
            self._break(call, "a frame that does not belong to the call")
        elif call.flow.receive(frame):
            call.take_headers(frame.metadata)
        else:
            self._break(call, "more messages than were granted")

    def _take_response(self, call: CallCore, f: Frame) -> None:
        self.has_answered = True
        has_message = f.status == 0 and not call.method.server_streams
        if has_message and len(f.payloads) != 1:
            self._break(call, f"an answer with {len(f.payloads)} messages")
            return
        outcome = RpcError(
            f.status, f.status_text, details=f.status_details, headers=f.metadata, trailers=f.trailers
        )
        if has_message:
            call.flow.put(f.payloads[0])
        if f.not_begun and f.status == StatusCode.UNAVAILABLE and self._channel.begin_elsewhere(call):
            return
        self._channel.end_attempt(call, outcome)

    def _break(self, call: CallCore, text: str) -> None:
        """The server did not keep to the protocol."""
        self._channel.cancel_on_loop(call, StatusCode.INTERNAL, f"{call.method.path}: {text}")


class ChannelCore:
    """What a channel does, on the loop's thread. The program has a Channel, which holds this; nothing here holds that."""

    def __init__(self, url: str, options: ChannelOptions) -> None:
        self.url = url
        self.options = options
        self.loop = loop.get()
        addresses = [transport.parse_url(one) for one in url.split(",")]
        is_tls = any(address.is_tls for address in addresses)
        self._tls = tls.client_context(options.tls) if is_tls else None
        first = random.randrange(len(addresses))
        self._addresses = deque(addresses[first:] + addresses[:first])  # the first is the one to use
        self._connection: ClientConnection | None = None
        self._living: set[ClientConnection] = set()  # all that live: also those that take no more calls
        self._lives: set[asyncio.Task[None]] = set()
        self._line: deque[CallCore] = deque()
        self._resting: set[CallCore] = set()
        self._budget = RetryBudget()
        self._is_closing = False
        self._trouble = "not yet connected"
        self._task = asyncio.run_coroutine_threadsafe(self._stay_connected(), self.loop)

    # ---- any thread

    def pack(self, message: Message) -> bytes:
        """A message as it travels. RpcError RESOURCE_EXHAUSTED: it is over the limit."""
        payload = message.SerializeToString()
        if len(payload) > self.options.max_message_bytes:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"{message.DESCRIPTOR.full_name} of {len(payload)} bytes "
                f"is over the limit of {self.options.max_message_bytes}",
            )
        return payload

    def start(self, call: CallCore) -> None:
        """Begins a call."""
        self.loop.call_soon_threadsafe(self._start, call)

    def cancel(self, call: CallCore, code: StatusCode, text: str) -> None:
        """Ends a call here and in the server; nothing happens if it has ended."""
        self.loop.call_soon_threadsafe(self.cancel_on_loop, call, code, text)

    def half_close(self, call: CallCore) -> None:
        """The call sends no more messages."""
        self.loop.call_soon_threadsafe(self._half_close, call)

    def is_connected(self) -> bool:
        """Whether calls would go at once."""
        connection = self._connection
        return connection is not None and not connection.is_leaving()

    def drop(self) -> None:
        """The program has let go of it: it is closed, and nobody waits for that. Takes no lock."""
        if loop.is_ours(self.loop) and not self._is_closing:
            self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self.close()))

    # ---- the line; from here on, on the loop's thread

    def _start(self, call: CallCore) -> None:
        if call.deadline is not None and call.deadline <= self.loop.time():
            text = f"{call.method.path}: the deadline had passed before the call began"
            self._end(call, RpcError(StatusCode.DEADLINE_EXCEEDED, text))
            return
        if call.deadline is not None:
            call.timers["deadline"] = self.loop.call_at(call.deadline, self._overdue, call)
        if self._is_closing:
            self._end(call, RpcError(StatusCode.CANCELLED, f"{self.url}: the channel was closed"))
        elif len(self._line) >= self.options.max_waiting:
            self._end(
                call,
                RpcError(
                    StatusCode.RESOURCE_EXHAUSTED, f"{self.url}: {len(self._line)} calls wait in line already"
                ),
            )
        else:
            self._join_line(call)

    def _join_line(self, call: CallCore) -> None:
        self._line.append(call)
        if not call.wait_for_ready:
            self._limit_waiting(call)
        self._pump()

    def _limit_waiting(self, call: CallCore) -> None:
        call.timers["connect"] = self.loop.call_later(self.options.connect_timeout_s, self._unconnected, call)

    def _pump(self) -> None:
        while self._line and self._connection and self._connection.takes_calls():
            call = self._line.popleft()
            timer = call.timers.pop("connect", None)
            if timer:
                timer.cancel()
            self._connection.place(call)

    def _unconnected(self, call: CallCore) -> None:
        if self.is_connected():  # the line is long: another while
            self._limit_waiting(call)
        else:
            self.cancel_on_loop(call, StatusCode.UNAVAILABLE, f"no connection to {self.url}: {self._trouble}")

    def _overdue(self, call: CallCore) -> None:
        text = (
            f"{call.method.path}: no answer from {self.url} within the deadline"
            if self.is_connected()
            else f"no connection to {self.url}: {self._trouble}"
        )
        self.cancel_on_loop(call, StatusCode.DEADLINE_EXCEEDED, text)

    def _half_close(self, call: CallCore) -> None:
        call.is_half_closed = True
        call.flow.half_close()

    # ---- ends

    def _end(self, call: CallCore, outcome: RpcError) -> None:
        if call.connection:
            call.connection.release(call)
        call.end(outcome)
        self._pump()

    def end_attempt(self, call: CallCore, outcome: RpcError) -> None:
        """An answer came, or the connection was lost: the end, or the call is tried again."""
        self._budget.take_result(outcome.code)
        wait_s = None
        method = call.method
        if (
            method.is_idempotent
            and not method.client_streams
            and not method.server_streams
            and not self._is_closing
        ):
            wait_s = self._budget.wait_s(
                self.options.retry, call.attempts, outcome.code, pushback_ms(outcome.trailers)
            )
        if wait_s is None or call.deadline is not None and self.loop.time() + wait_s >= call.deadline:
            self._end(call, outcome)
            return
        if call.connection:
            call.connection.release(call)
        self._resting.add(call)
        call.timers["retry"] = self.loop.call_later(wait_s, self._try_again, call)
        self._pump()

    def begin_elsewhere(self, call: CallCore) -> bool:
        """A server that drains did not begin the call: it goes into the line again, unless its messages are gone, or no
        server has begun it in the time that a connection may take."""
        now = self.loop.time()
        call.begin_by = call.begin_by or now + self.options.connect_timeout_s
        if call.method.client_streams or self._is_closing or now >= call.begin_by or not call.connection:
            return False
        call.connection.release(call)
        call.attempts -= 1
        self._join_line(call)
        return True

    def _try_again(self, call: CallCore) -> None:
        self._resting.discard(call)
        self._join_line(call)

    def cancel_on_loop(self, call: CallCore, code: StatusCode, text: str) -> None:
        """Ends a call here and in the server; nothing happens if it has ended."""
        if call.has_ended():
            return
        if call.connection:
            call.connection.link.send(call.request_id, Frame(Kind.CANCEL))
        elif call in self._resting:
            self._resting.discard(call)
        elif call in self._line:
            self._line.remove(call)
        self._end(call, RpcError(status_code(code), text))

    # ---- life

    async def _stay_connected(self) -> None:
        pause_s = self.options.reconnect_min_s
        while not self._is_closing:
            began = self.loop.time()
            address = self._addresses[0]
            self._addresses.rotate(-1)
            connection = None
            try:
                pipe = await transport.connect(
                    address,
                    self._tls if address.is_tls else None,
                    self.options.tls.server_name if self.options.tls else None,
                    self.options.max_message_bytes,
                )
            except (OSError, EOFError, TimeoutError, transport.TransportError) as e:
                self._trouble = str(e) or type(e).__name__
            else:
                connection = await self._use(pipe)
            if connection and (
                connection.has_answered or self.loop.time() - began > self.options.reconnect_max_s
            ):
                pause_s = self.options.reconnect_min_s
                if connection in self._living:
                    continue  # beside one that drains another is made immediately
            await asyncio.sleep(jittered(pause_s))
            pause_s = min(2 * pause_s, self.options.reconnect_max_s)

    async def _use(self, pipe: transport.Pipe) -> ClientConnection:
        """Places calls on a connection until it takes no more; it may live on, with those that it has."""
        connection = self._connection = ClientConnection(self, pipe)
        life = self.loop.create_task(self._live(connection))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        self._pump()
        await connection.left.wait()
        self._connection = None
        self._trouble = "the server drains" if connection in self._living else "the connection was lost"
        return connection

    async def _live(self, connection: ClientConnection) -> None:
        self._living.add(connection)
        try:
            await connection.run()
        finally:
            self._living.discard(connection)

    async def close(self) -> None:
        """Fails all calls with CANCELLED and says goodbye."""
        self._is_closing = True
        connections = list(self._living)
        placed = [call for connection in connections for call in connection.calls.values()]
        for call in (*self._line, *self._resting, *placed):
            self.cancel_on_loop(call, StatusCode.CANCELLED, f"{self.url}: the channel was closed")
        for connection in connections:
            connection.say_goodbye()
        end = self.loop.time() + 2 * GOODBYE_S
        while self._living and self.loop.time() < end:
            await asyncio.sleep(0.001)
        self._task.cancel()


TIMEOUT_MAX_S = 1e9  # 31 years: longer is for ever


def _check_timeout(timeout: float | None) -> float | None:
    """Seconds, or None: for ever. TypeError, ValueError: it is no time."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout: {timeout!r} is no number of seconds")
    if math.isnan(timeout):
        raise ValueError("timeout: is not a number")
    return None if timeout > TIMEOUT_MAX_S else max(float(timeout), -TIMEOUT_MAX_S)


def _check_options(options: ChannelOptions) -> None:
    check_window(options.stream_window_bytes)
    names = ("connect_timeout_s", "reconnect_min_s", "reconnect_max_s", "keepalive_s", "keepalive_timeout_s")
    for name in names:
        value = getattr(options, name)
        if value is not None and not 0 <= value <= TIMEOUT_MAX_S:
            raise ValueError(f"{name}: {value!r} is not in 0 to {TIMEOUT_MAX_S:.0f} seconds")


class Channel:
    """Connects to a server in the background, and again whenever the connection is lost; of several, it keeps to one
    while the connection lasts, and goes on with the next. Any thread. A channel that the program drops is closed.

    A channel is of the process that made it: after a fork, calls of the child raise RpcError UNAVAILABLE, and it makes
    channels of its own."""

    def __init__(self, url: str, options: ChannelOptions = ChannelOptions(), **more: object) -> None:
        """url: tcp://host:port, tls+tcp://host:port or ipc:///path; or several, separated by commas, of servers that do
        the same. Options may also be given by name.
        ValueError, OSError: the url, an option or a certificate is not in order."""
        self.url = url
        self.options = ChannelOptions(**{**vars(options), **more}) if more else options
        _check_options(self.options)
        self._core = ChannelCore(url, self.options)
        weakref.finalize(self, self._core.drop).atexit = False

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(
        self,
        method: Method,
        request: Message | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        wait_for_ready: bool = False,
    ) -> Call:
        """Begins a call. request: unless the client streams. timeout: seconds; None, and more than 31 years: for ever;
        0 and less: the deadline has passed. ValueError, TypeError: metadata or a timeout against the rules."""
        if (request is None) != method.client_streams:
            raise ValueError(f"{method.path} takes {'a stream' if method.client_streams else 'one message'}")
        timeout = _check_timeout(timeout)
        core = self._core
        if not loop.is_ours(core.loop):
            raise RpcError(StatusCode.UNAVAILABLE, f"{self.url}: the channel was made before a fork")
        frame = Frame(Kind.REQUEST, method=method.path, metadata=self._metadata(metadata))
        if request is not None:
            frame.payloads.append(core.pack(request))
        frame.credit = window = self.options.stream_window_bytes if method.server_streams else 0
        deadline = None if timeout is None else core.loop.time() + timeout
        call = CallCore(core, method, frame, deadline, wait_for_ready, window)
        core.start(call)
        return Call(self, call)

    def is_connected(self) -> bool:
        """Whether calls would go at once."""
        return self._core.is_connected()

    def close(self) -> None:
        """Fails all calls with CANCELLED and says goodbye. Not on a thread that a call waits for."""
        if loop.is_ours(self._core.loop):
            loop.run(self._core.close())

    def _metadata(self, metadata: MetadataLike) -> Metadata:
        token = self.options.token
        if token is None:
            return make_metadata(metadata)
        bearer = ("authorization", f"Bearer {token() if callable(token) else token}")
        return make_metadata((*make_metadata(metadata), bearer))
