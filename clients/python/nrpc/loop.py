# SPDX-License-Identifier: Apache-2.0
"""The one thread on which all connections of this process live; programs' threads post to it."""
from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class HasFile(Protocol):
    """Something open in the system."""

    def fileno(self) -> int:
        """Its number; negative: it is closed."""


_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_open: weakref.WeakSet[HasFile] = weakref.WeakSet()  # connections, which are their process's alone


def _forget() -> None:
    """In the child of a fork: the loop's thread is not there, and its connections are the parent's. The child's
    numbers for them lead nowhere from now on, so that they end when the parent ends them."""
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for opened in list(_open):
        if opened.fileno() >= 0:
            os.dup2(nowhere, opened.fileno(), inheritable=False)
    _open.clear()
    os.close(nowhere)


os.register_at_fork(after_in_child=_forget)


def own(opened: HasFile) -> None:
    """A connection is this process's: a fork's child has no part in it."""
    _open.add(opened)


def is_ours(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this loop runs: not if a fork came between."""
    return loop is _loop


def get() -> asyncio.AbstractEventLoop:
    """The running loop; started at the first call."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="nrpc", daemon=True).start()
        return _loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine there and waits for it. Not on the loop's own thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, get()).result()
