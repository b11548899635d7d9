# SPDX-License-Identifier: Apache-2.0
"""The messages of one call in both directions, on either side: credit, order, waiting.

The program's threads send and take, and wait here; the loop's thread feeds. One lock a call guards what both
touch. A flow has one sending and one taking thread at a time.
"""
from __future__ import annotations

import asyncio
import threading
from collections import deque

from .frame import MESSAGE_COST, WINDOW_MAX, Frame, Kind, Metadata
from .link import Link, Outgoing

FIRST_CREDIT = 65536  # bytes that a client may send before it was granted any
DEFAULT_WINDOW = 256 << 10
UNSENT_MAX = 256 << 10  # bytes that wait here for the connection, whatever credit the peer gave
BATCH_BYTES = 16384  # a frame of gathered messages is not made larger


class Flow:
    """Messages under way. window: 0 if the peer does not stream; granted: what of it the peer begins with."""

    def __init__(self, loop: asyncio.AbstractEventLoop, window: int, granted: int, credit: int) -> None:
        self.changed = threading.Condition()
        self._loop = loop
        # Sending
        self._credit = credit
        self._unsent = 0
        self._is_open = False  # connected
        self._over = False  # the call has ended: nobody wants more
        self.headers = Metadata()  # to go with the first frame
        self.headers_gone = False
        # Receiving
        self._window = window
        self._granted = granted
        self._taken = 0
        self._inbox: deque[bytes] = deque()
        self._inbox_closed = False
        # The loop's
        self._link: Link | None = None
        self._id = 0
        self._last: Outgoing | None = None

    # ---- the program's threads

    def send(self, payload: bytes) -> bool:
        """Sends a message, waiting while the peer is behind. False: the call is over."""
        with self.changed:
            while not self._over and not (self._is_open and self._credit > 0 and self._unsent < UNSENT_MAX):
                self.changed.wait()
            if self._over:
                return False
            cost = len(payload) + MESSAGE_COST
            self._credit -= cost
            self._unsent += cost
            headers = Metadata() if self.headers_gone else self.headers
            self.headers_gone = True
        self._loop.call_soon_threadsafe(self._fly, payload, headers)
        return True

    def take(self) -> bytes | None:
        """The next message, waiting for it. None: there is none any more, or the call is over."""
        with self.changed:
            while not self._inbox:
                if self._inbox_closed or self._over:
                    return None
                self.changed.wait()
            payload = self._inbox.popleft()
            self._taken += len(payload) + MESSAGE_COST
            taken = self._taken
            if not self._window or taken < self._window // 2 or self._over:
                return payload
            self._taken = 0
        self._loop.call_soon_threadsafe(self._grant, taken)
        return payload

    def is_over(self) -> bool:
        """Whether the call has ended or was given up."""
        with self.changed:
            return self._over

    def wait_over(self, timeout: float | None) -> bool:
        """Waits until it has; False: it has not within the timeout."""
        with self.changed:
            return self.changed.wait_for(lambda: self._over, timeout)

    # ---- the loop's thread

    def connect(self, link: Link, request_id: int) -> None:
        """From now on messages go this way."""
        self._link = link
        self._id = request_id
        with self.changed:
            self._is_open = True
            self.changed.notify_all()

    def widen(self) -> None:
        """Grants what the window has beyond what the peer began with."""
        if self._window > self._granted:
            self._grant(self._window - self._granted)

    def receive(self, frame: Frame) -> bool:
        """A frame with messages arrived. False: they are more than was granted, or come after the last."""
        left = self._granted
        for payload in frame.payloads:
            if left <= 0:
                return False
            left -= len(payload) + MESSAGE_COST
        with self.changed:
            if frame.payloads and self._inbox_closed:
                return False
            self._granted = left
            self._inbox.extend(frame.payloads)
            self.changed.notify_all()
        return True

    def put(self, payload: bytes) -> None:
        """A message that costs nothing: the answer of a server that does not stream."""
        with self.changed:
            self._inbox.append(payload)
            self.changed.notify_all()

    def close_inbox(self) -> None:
        """The peer sends no more messages."""
        with self.changed:
            self._inbox_closed = True
            self.changed.notify_all()

    def add_credit(self, credit: int) -> None:
        """The peer takes so many bytes more."""
        with self.changed:
            self._credit += credit
            self.changed.notify_all()

    def end(self) -> None:
        """The call is over; what has arrived can still be taken."""
        self._link = None
        with self.changed:
            self._over = self._inbox_closed = True
            self.changed.notify_all()

    def half_close(self) -> None:
        """Says that no more messages come."""
        if self._link:
            self._link.send(self._id, Frame(Kind.HALF_CLOSE))

    def _fly(self, payload: bytes, headers: Metadata) -> None:
        if not self._link:
            return
        last = self._last
        if last and last.is_held and last.frame.cost() + len(payload) < BATCH_BYTES:
            self._link.append(last, payload)
        else:
            frame = Frame(Kind.MESSAGE, metadata=headers, payloads=[payload])
            self._last = self._link.send(self._id, frame, self._gone)

    def _gone(self, frame: Frame) -> None:
        with self.changed:
            self._unsent -= frame.cost()
            self.changed.notify_all()

    def _grant(self, credit: int) -> None:
        if self._link:
            self._granted += credit
            self._link.send(self._id, Frame(Kind.CREDIT, credit=credit))


def check_window(window: int) -> int:
    """ValueError: no window of a stream may be like this."""
    if not FIRST_CREDIT <= window <= WINDOW_MAX:
        raise ValueError(f"stream_window_bytes {window}: must be {FIRST_CREDIT} to {WINDOW_MAX}")
    return window
