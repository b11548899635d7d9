# SPDX-License-Identifier: Apache-2.0
"""The messages of one connection: counts and acknowledges them, holds back what the peer has no room for.

docs/PROTOCOL.md, "Flow control". On the loop's thread alone.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .frame import Frame, Kind, encode

CONNECTION_ID = 0x80000000  # no call's id: speaks of the connection
WINDOW = 48  # messages on the way; each of ours is one frame
ACK_MESSAGES = 4  # received messages after which they are acknowledged at once
HELD_MAX = 16384  # frames held back; a peer that lets it come to more acknowledges nothing

_MASK = 0xFFFFFFFF


class Outgoing:
    """A frame on its way out; `gone` runs when it was written."""

    __slots__ = ("request_id", "frame", "gone", "is_held")

    def __init__(self, request_id: int, frame: Frame, gone: Callable[[Frame], None] | None) -> None:
        self.request_id = request_id
        self.frame = frame
        self.gone = gone
        self.is_held = False


class Link:
    """Both directions of a connection."""

    def __init__(self, write: Callable[[int, bytes], None], overflow: Callable[[], None]) -> None:
        self._write = write
        self._overflow = overflow
        self._sent = self._acked = 0  # by us; of these, what the peer says it has
        self._received = self._told = 0  # by us; what we last said
        self._held: deque[Outgoing] = deque()
        self.held_bytes = 0  # of payload
        self.said_goodbye = False  # nothing is sent any more
        self._was_acknowledged = False

    def last_sent(self) -> int:
        """The number of the last message that was sent."""
        return self._sent

    def has(self, number: int) -> bool:
        """Whether the peer has said that it has that message."""
        return (self._acked - number & _MASK) <= _MASK >> 1

    def was_acknowledged(self) -> bool:
        """Whether the peer has ever said what it has."""
        return self._was_acknowledged

    def has_room(self) -> bool:
        """Whether a frame of a call would go at once."""
        return not self._held and self._on_the_way() < WINDOW

    def send(self, request_id: int, frame: Frame, gone: Callable[[Frame], None] | None = None) -> Outgoing:
        """Sends a frame of a call as soon as the window allows it, in the order of calling."""
        out = Outgoing(request_id, frame, gone)
        if self.said_goodbye:
            return out
        if self.has_room():
            self._emit(out)
            return out
        out.is_held = True
        self._held.append(out)
        self.held_bytes += frame.cost()
        if len(self._held) > HELD_MAX:
            self._overflow()
        return out

    def append(self, out: Outgoing, payload: bytes) -> None:
        """Puts one more message into a frame that is held."""
        before = out.frame.cost()
        out.frame.payloads.append(payload)
        self.held_bytes += out.frame.cost() - before

    def say(self, kind: Kind) -> None:
        """Sends a frame of the connection, which waits for nothing. GOODBYE is the last; what is held is
        dropped."""
        if self.said_goodbye:
            return
        if kind == Kind.GOODBYE:
            self.said_goodbye = True
            self._held.clear()
            self.held_bytes = 0
        self._emit(Outgoing(CONNECTION_ID, Frame(kind), None))

    def heard(self, frame: Frame | None) -> None:
        """A message arrived (None: it is malformed): counts it, sends what its ack made room for."""
        self._received = self._received + 1 & _MASK
        if frame is None:
            return
        # A number that was overtaken, or that is no number of ours, says nothing.
        if frame.ack == 0 or (frame.ack - self._acked & _MASK) > self._on_the_way():
            return
        self._acked = frame.ack
        self._was_acknowledged = True
        while self._held and self._on_the_way() < WINDOW:
            out = self._held.popleft()
            out.is_held = False
            self.held_bytes -= out.frame.cost()
            self._emit(out)

    def owes_ack(self) -> bool:
        """Whether what was received must be said now."""
        return (self._received - self._told & _MASK) >= ACK_MESSAGES

    def _on_the_way(self) -> int:
        return self._sent - self._acked & _MASK

    def _emit(self, out: Outgoing) -> None:
        out.frame.ack = self._told = self._received
        self._sent = self._sent + 1 & _MASK
        self._write(out.request_id, encode(out.frame))
        if out.gone:
            out.gone(out.frame)
