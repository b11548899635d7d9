# SPDX-License-Identifier: Apache-2.0
"""One call, as the client's program has it. Any thread; one reads and one writes at a time."""
from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError, Message

from .flow import FIRST_CREDIT, Flow
from .frame import Frame, Metadata
from .method import Method
from .status import RpcError, StatusCode

if TYPE_CHECKING:
    from .channel import Channel, ChannelCore, ClientConnection


class CallCore:
    """A call under way, as the channel has it."""

    def __init__(
        self,
        channel: ChannelCore,
        method: Method,
        request: Frame,
        deadline: float | None,
        wait_for_ready: bool,
        window: int,
    ) -> None:
        self.method = method
        self._channel = channel
        self._flow = Flow(channel.loop, window, window, FIRST_CREDIT)
        self._headers: Metadata | None = None
        self._outcome: RpcError | None = None  # how it ended; the code OK for a good end
        self._send_closed = not method.client_streams
        # The channel's, on the loop's thread:
        self.flow = self._flow
        self.request = request
        self.deadline = deadline  # of the loop's clock
        self.wait_for_ready = wait_for_ready
        self.attempts = 0
        self.begin_by = 0.0  # when a server must have begun it, after one that drains has not
        self.connection: ClientConnection | None = None
        self.request_id = 0
        self.is_half_closed = False  # said before there was a connection
        self.timers: dict[str, asyncio.TimerHandle] = {}

    # ---- sending

    def write(self, message: Message) -> None:
        """Sends one message, waiting while the server is behind. RpcError: the call has ended."""
        if self._send_closed:
            raise ValueError(f"{self.method.path}: no more messages can be sent")
        if not self._flow.send(self._channel.pack(message)):
            raise self._end_of_sending()

    def write_all(self, messages: Iterable[Message]) -> None:
        """Sends messages as long as the call wants them, and says that no more come."""
        for message in messages:
            try:
                self.write(message)
            except RpcError:
                return  # reading says why
        self.close_send()

    def write_in_background(self, messages: Iterable[Message]) -> None:
        """The same on a thread of its own; if taking a message fails, the call is cancelled."""

        def write() -> None:
            try:
                self.write_all(messages)
            except Exception as e:  # pylint: disable=broad-except
                self._channel.cancel(self, StatusCode.CANCELLED, f"the messages to send failed: {e!r}")

        threading.Thread(target=write, name=self.method.path, daemon=True).start()

    def close_send(self) -> None:
        """Says that no more messages come."""
        if not self._send_closed:
            self._send_closed = True
            self._channel.half_close(self)

    # ---- receiving

    def read(self) -> Message | None:
        """The next message, waiting for it. None: the call has ended well. RpcError: it has not."""
        payload = self._flow.take()
        if payload is None:
            outcome = self._wait_outcome()
            if outcome.code != StatusCode.OK:
                raise outcome
            return None
        try:
            return self.method.response.FromString(payload)
        except DecodeError:
            text = f"{self.method.path}: a message is no {self.method.response.DESCRIPTOR.full_name}"
            self._channel.cancel(self, StatusCode.INTERNAL, text)
            raise RpcError(StatusCode.INTERNAL, text) from None

    def result(self) -> Message:
        """The answer of a server that does not stream, waiting for it. RpcError: there is none."""
        outcome = self._wait_outcome()
        message = self.read() if outcome.code == StatusCode.OK else None
        if message is None:
            raise outcome
        return message

    # ---- the rest

    def cancel(self) -> None:
        """Ends the call with CANCELLED, here and in the server; nothing happens if it has ended."""
        self._channel.cancel(self, StatusCode.CANCELLED, "the call was cancelled")

    def drop(self) -> None:
        """The program has let go of it. Takes no lock: the collector runs at any moment, on any thread."""
        if self._outcome is None:
            self.cancel()

    def headers(self) -> Metadata:
        """What the server sent with its first message or its answer, waiting for that."""
        with self._flow.changed:
            self._flow.changed.wait_for(lambda: self._headers is not None or self._outcome)
            return self._headers or Metadata()

    def trailers(self) -> Metadata:
        """What the server sent with the end, waiting for that."""
        return self._wait_outcome().trailers

    def code(self) -> int:
        """How the call ended, waiting for that."""
        return self._wait_outcome().code

    def has_ended(self) -> bool:
        """Whether the outcome is known."""
        with self._flow.changed:
            return self._outcome is not None

    def _wait_outcome(self) -> RpcError:
        with self._flow.changed:
            self._flow.changed.wait_for(lambda: self._outcome)
            assert self._outcome
            return self._outcome

    def _end_of_sending(self) -> RpcError:
        outcome = self._wait_outcome()
        if outcome.code == StatusCode.OK:
            return RpcError(StatusCode.CANCELLED, "the server has answered and wants no more")
        return outcome

    # ---- the channel's, on the loop's thread

    def take_headers(self, headers: Metadata) -> None:
        """The first frame of the server."""
        with self._flow.changed:
            if self._headers is None:
                self._headers = headers
                self._flow.changed.notify_all()

    def end(self, outcome: RpcError) -> None:
        """It is over."""
        for timer in self.timers.values():
            timer.cancel()
        with self._flow.changed:
            if self._headers is None:
                self._headers = outcome.headers
            outcome.headers = self._headers
            self._outcome = outcome
        self._flow.end()


class Call:
    """A call under way: iterates over the messages of a server that streams, or holds the one result. A call that the
    program drops, as by leaving a loop over it, is cancelled."""

    def __init__(self, channel: Channel, core: CallCore) -> None:
        self.method = core.method
        self._channel = channel  # lives as long as its calls
        self._core = core
        weakref.finalize(self, core.drop).atexit = False

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __iter__(self) -> Call:
        return self

    def __next__(self) -> Message:
        message = self._core.read()
        if message is None:
            raise StopIteration
        return message

    def write(self, message: Message) -> None:
        """Sends one message, waiting while the server is behind. RpcError: the call has ended."""
        self._core.write(message)

    def write_all(self, messages: Iterable[Message]) -> None:
        """Sends messages as long as the call wants them, and says that no more come."""
        self._core.write_all(messages)

    def write_in_background(self, messages: Iterable[Message]) -> None:
        """The same on a thread of its own; if taking a message fails, the call is cancelled."""
        self._core.write_in_background(messages)

    def close_send(self) -> None:
        """Says that no more messages come."""
        self._core.close_send()

    def read(self) -> Message | None:
        """The next message, waiting for it. None: the call has ended well. RpcError: it has not."""
        return self._core.read()

    def result(self) -> Message:
        """The answer of a server that does not stream, waiting for it. RpcError: there is none."""
        return self._core.result()

    def cancel(self) -> None:
        """Ends the call with CANCELLED, here and in the server; nothing happens if it has ended."""
        self._core.cancel()

    def headers(self) -> Metadata:
        """What the server sent with its first message or its answer, waiting for that."""
        return self._core.headers()

    def trailers(self) -> Metadata:
        """What the server sent with the end, waiting for that."""
        return self._core.trailers()

    def code(self) -> int:
        """How the call ended, waiting for that."""
        return self._core.code()

    def has_ended(self) -> bool:
        """Whether the outcome is known."""
        return self._core.has_ended()

    @property
    def attempts(self) -> int:
        """How often the request was sent so far."""
        return self._core.attempts
