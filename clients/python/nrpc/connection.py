# SPDX-License-Identifier: Apache-2.0
"""What both ends of a connection do alike: reading, acknowledging, keepalive, goodbye.

docs/PROTOCOL.md, "The connection's life". On the loop's thread alone.
"""
from __future__ import annotations

import asyncio

from .frame import VERSION, Frame, Kind, parse
from .link import CONNECTION_ID, Link
from .transport import Pipe, TransportError, split_id

GOODBYE_S = 0.5  # how long the peer has to answer ours
LONG_S = 0.5  # a message that takes longer is acknowledged while it arrives
_TURN_FRAMES = 64
_UNWRITTEN_MAX = 64 << 10  # above this ACKs wait: the peer does not read


def _parse(data: bytes) -> Frame | None:
    try:
        return parse(data)
    except ValueError:
        return None


class Connection:
    """One greeted connection. run() lives as long as it does; subclasses say what the frames mean."""

    def __init__(self, pipe: Pipe, keepalive_s: float | None, keepalive_timeout_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.pipe = pipe
        self.link = Link(pipe.write, pipe.abort)
        self._keepalive_s = keepalive_s
        self._keepalive_timeout_s = keepalive_timeout_s
        self._heard = self.loop.time()
        self._asked = False
        self._told_alive = self._heard  # when a long message began, or was last acknowledged on its way
        self._was_inside = False
        pipe.on_bytes = self._hear
        self._frames = 0
        self._lost = ""  # why the connection ended, if we know better than the transport
        self._late_ack: asyncio.Task[None] | None = None

    # ---- for subclasses

    def take_call_frame(self, request_id: int, frame: Frame | None) -> None:
        """A frame of a call; None: it is malformed."""
        raise NotImplementedError

    def take_drain(self) -> None:
        """The server is about to stop."""

    def end_calls(self, text: str) -> None:
        """The connection is lost, or about to be closed by the peer."""
        raise NotImplementedError

    def is_idle(self) -> bool:
        """Whether silence is no sign of trouble."""
        return False

    # ---- life

    async def run(self) -> None:
        """Reads until the connection ends, however it does."""
        watch = self.loop.create_task(self._watch()) if self._keepalive_s else None
        try:
            while True:
                await self._take(*await self.pipe.read())
        except (EOFError, OSError, TransportError) as e:
            self._lost = self._lost or f"the connection was lost: {e or type(e).__name__}"
        finally:
            self.link.said_goodbye = True  # nothing more over this one
            for task in (watch, self._late_ack):
                if task:
                    task.cancel()
            self.pipe.abort()
            self.end_calls(self._lost or "the connection was given up")

    def say_goodbye(self) -> None:
        """Nothing is sent after it. The connection ends with the answer, or soon without it."""
        if not self.link.said_goodbye:
            self.link.say(Kind.GOODBYE)
            self.loop.call_later(GOODBYE_S, self.pipe.abort)

    # Every byte is a sign of life. The peer's PING waits behind the long message that it writes: it gets a sign of life
    # unasked, as long as the message moves on.
    def _hear(self) -> None:
        self._heard = now = self.loop.time()
        self._asked = False
        if not self._was_inside or not self.pipe.is_inside:
            self._was_inside = self.pipe.is_inside
            self._told_alive = now
        elif now - self._told_alive >= LONG_S:
            self._told_alive = now
            self._acknowledge()

    async def _take(self, request_id: int, data: bytes) -> None:
        frame = _parse(data)
        self.link.heard(frame)
        if request_id == CONNECTION_ID and frame and frame.kind == Kind.BATCH:
            for payload in frame.payloads:
                await self._take_frame(*split_id(payload))
        else:
            await self._take_frame(request_id, data, frame)
        if self.link.owes_ack():
            self._acknowledge()

    async def _take_frame(self, request_id: int, data: bytes, frame: Frame | None = None) -> None:
        frame = frame or _parse(data)
        if request_id != CONNECTION_ID:
            self.take_call_frame(request_id, frame)
        elif frame and frame.version == VERSION:
            self._take_connection_frame(frame)
        self._frames += 1
        if self._frames % _TURN_FRAMES == 0:
            await asyncio.sleep(0)  # the other connections' turn

    def _take_connection_frame(self, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            self._acknowledge()
        elif frame.kind == Kind.DRAIN:
            self.take_drain()
        elif frame.kind == Kind.GOODBYE and self.link.said_goodbye:
            self.pipe.close()  # both have said it
        elif frame.kind == Kind.GOODBYE:
            self.end_calls("the peer closes the connection")
            self.say_goodbye()

    # A peer that does not read gets one ACK when it does, not one for each of its frames.
    def _acknowledge(self) -> None:
        if self.pipe.unwritten() <= _UNWRITTEN_MAX:
            self.link.say(Kind.ACK)
        elif not self._late_ack:
            self._late_ack = self.loop.create_task(self._acknowledge_late())

    async def _acknowledge_late(self) -> None:
        try:
            await self.pipe.drain()
        except OSError:
            return  # run() sees it too
        self._late_ack = None
        self.link.say(Kind.ACK)

    async def _watch(self) -> None:
        assert self._keepalive_s
        while True:
            wait_s = self._heard + self._keepalive_s - self.loop.time()
            if self._asked:
                wait_s += self._keepalive_timeout_s
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            elif self._asked:
                self._lost = "the peer gives no sign of life"
                self.pipe.abort()
                return
            elif self.is_idle():
                self._heard = self.loop.time()
            else:
                self._asked = True
                self.link.say(Kind.PING)
