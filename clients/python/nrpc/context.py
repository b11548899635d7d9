# SPDX-License-Identifier: Apache-2.0
"""What a handler knows of its call, and does with it besides answering."""
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NoReturn

from google.protobuf.message import DecodeError, Message

from .auth import Identity
from .flow import Flow
from .frame import Frame, Metadata, MetadataLike, make_metadata
from .method import Method
from .status import RpcError, StatusCode, pack_details


class Abort(Exception):
    """Raised by Context.abort; ends the call so."""

    def __init__(self, code: int, text: str, details: bytes = b"") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text
        self.details = details


class Context:
    """One call in its server. Any thread."""

    def __init__(
        self, method: Method, request: Frame, flow: Flow, peer: str, identity: Identity | None
    ) -> None:
        self.method = method
        self.metadata = request.metadata  # what the client sent
        self.peer = peer  # "127.0.0.1:4711"; empty if the transport does not say
        self.identity = identity  # None: the server asks for no tokens
        self.deadline = time.monotonic() + request.timeout_us / 1e6 if request.timeout_us else None
        self.trailers = Metadata()
        self.flow = flow
        self.why_over = StatusCode.OK  # CANCELLED, DEADLINE_EXCEEDED: nobody waits any more

    def time_remaining(self) -> float | None:
        """Seconds until the client gives up, not below 0; None: it set no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def is_cancelled(self) -> bool:
        """Whether the client gave up, or its connection is lost, or its deadline has passed."""
        return self.flow.is_over()

    def wait_for_cancel(self, timeout: float | None = None) -> bool:
        """Waits until it is cancelled; False: it was not within the timeout."""
        return self.flow.wait_over(timeout)

    def set_headers(self, headers: MetadataLike) -> None:
        """Metadata for the client, to go with the first message or the answer. ValueError: that has gone, or
        the metadata is against the rules."""
        self._check_both(headers, self.trailers)
        with self.flow.changed:
            if self.flow.headers_gone:
                raise ValueError("the headers have gone with the first message")
            self.flow.headers = make_metadata(headers)

    def set_trailers(self, trailers: MetadataLike) -> None:
        """Metadata for the client, to go with the end. ValueError: it is against the rules."""
        self._check_both(self.flow.headers, trailers)
        self.trailers = make_metadata(trailers)

    def abort(self, code: int, text: str, details: Iterable[Message] = ()) -> NoReturn:
        """Ends the call with an error, by an exception. details: messages that the client gets typed."""
        if code <= StatusCode.OK:
            raise ValueError(f"{code} is no error")
        details = list(details)
        raise Abort(code, text, pack_details(code, text, details) if details else b"")

    @staticmethod
    def _check_both(headers: MetadataLike, trailers: MetadataLike) -> None:
        make_metadata((*make_metadata(headers), *make_metadata(trailers)))

    # ---- the server's

    def read_message(self, payload: bytes) -> Message:
        """A message of the client."""
        try:
            return self.method.request.FromString(payload)
        except DecodeError:
            raise Abort(
                StatusCode.INVALID_ARGUMENT,
                f"cannot read a {self.method.request.DESCRIPTOR.full_name} from "
                f"these {len(payload)} bytes",
            ) from None

    def read_messages(self) -> Iterator[Message]:
        """All messages of a client that streams; RpcError: the call was cancelled before the last."""
        while (payload := self.flow.take()) is not None:
            yield self.read_message(payload)
        if self.flow.is_over():
            raise RpcError(self.why_over, "the caller gave up")
