# SPDX-License-Identifier: Apache-2.0
"""The calls on one connection of a server: begun, refused, fed, run, answered."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from .auth import Identity
from .connection import Connection
from .context import Abort, Context
from .flow import FIRST_CREDIT, Flow
from .frame import VERSION, Frame, Kind, Metadata
from .method import Method
from .retry import RETRY_AFTER
from .status import StatusCode
from .transport import Pipe

if TYPE_CHECKING:
    from .server import Server

RETRY_AFTER_MS = 100
CROSSING_S = 1.0  # how long calls are taken after DRAIN from a peer that acknowledges nothing
HELD_BYTES_MAX = 64 << 20  # answers that a client does not acknowledge; no more calls for it above that

_log = logging.getLogger("nrpc")


class NotBegun(Abort):
    """The call was not begun, and can be sent to another server."""


class ServerCall:
    """One call that is under way."""

    def __init__(
        self, connection: ServerConnection, request_id: int, context: Context, handler: Callable[..., Any]
    ) -> None:
        self.connection: ServerConnection | None = connection  # None: nobody waits for the answer
        self.request_id = request_id
        self.context = context
        self.timer: asyncio.TimerHandle | None = None
        self._server = connection.server
        self._loop = connection.loop
        self._handler = handler

    # ---- on a worker's thread

    def run(self) -> None:
        """Runs the handler and answers."""
        context = self.context
        try:
            payload = b"" if context.is_cancelled() else self._run_handler()
            response = Frame(Kind.RESPONSE, payloads=[] if context.method.server_streams else [payload])
        except Abort as e:
            response = Frame(Kind.RESPONSE, status=e.code, status_text=e.text, status_details=e.details)
        except BaseException:  # pylint: disable=broad-except  # SystemExit, too, ends the call and nothing else
            if not context.is_cancelled():
                _log.exception("%s failed", context.method.path)
            response = Frame(Kind.RESPONSE, status=StatusCode.UNKNOWN, status_text="the handler failed")
        self._loop.call_soon_threadsafe(self._answer, response)

    def _run_handler(self) -> bytes:
        context, method = self.context, self.context.method
        if method.client_streams:
            request = context.read_messages()
        else:
            request = context.read_message(context.flow.take() or b"")
        answer = self._handler(request, context)
        if not method.server_streams:
            return self._pack(answer)
        try:
            for message in answer:
                if not context.flow.send(self._pack(message)):
                    break
        finally:
            if hasattr(answer, "close"):
                answer.close()  # a generator's own ends run now
        return b""

    def _pack(self, message: Message) -> bytes:
        if not isinstance(message, self.context.method.response):
            raise TypeError(f"{self.context.method.path} answered with a {type(message).__name__}")
        payload = message.SerializeToString()
        limit = self._server.options.max_message_bytes
        if len(payload) > limit:
            raise Abort(
                StatusCode.RESOURCE_EXHAUSTED,
                f"an answer of {len(payload)} bytes is over the limit of {limit}",
            )
        return payload

    # ---- on the loop's thread

    def give_up(self, code: StatusCode) -> None:
        """Nobody waits for the answer any more."""
        self.context.why_over = self.context.why_over or code
        self.context.flow.end()

    def detach(self) -> None:
        """Nothing is sent any more."""
        if self.timer:
            self.timer.cancel()
        if self.connection:
            del self.connection.calls[self.request_id]
            self.connection = None

    def _answer(self, response: Frame) -> None:
        self._server.running -= 1
        connection, context = self.connection, self.context
        if connection is None:
            return
        if context.why_over:
            response = Frame(Kind.RESPONSE, status=context.why_over, status_text="the deadline has passed")
        if not context.flow.headers_gone:
            response.metadata = context.flow.headers
        response.trailers = context.trailers
        connection.link.send(self.request_id, response)
        self.give_up(StatusCode.CANCELLED)
        self.detach()


class ServerConnection(Connection):
    """One client."""

    def __init__(self, server: Server, pipe: Pipe) -> None:
        super().__init__(pipe, server.options.keepalive_s, server.options.keepalive_timeout_s)
        self.server: Server = server
        self.calls: dict[int, ServerCall] = {}
        self._drain: int | None = None  # the number of our DRAIN
        self._drained_at = 0.0

    def say_drain(self) -> None:
        """The client is to make its calls elsewhere. Those that cross this are served."""
        self.link.say(Kind.DRAIN)
        self._drain = self.link.last_sent()
        self._drained_at = self.loop.time()

    def _knows_drain(self) -> bool:
        if self._drain is None:
            return False
        if self.link.was_acknowledged():
            return self.link.has(self._drain)
        return self.loop.time() - self._drained_at > CROSSING_S

    def end_calls(self, text: str) -> None:
        for call in list(self.calls.values()):
            self._give_up(call)

    def take_call_frame(self, request_id: int, frame: Frame | None) -> None:
        call = self.calls.get(request_id)
        is_of_running = frame is not None and Kind.MESSAGE <= frame.kind <= Kind.CREDIT
        if call and frame and is_of_running:
            self._continue(call, frame)
        elif call and frame is None:
            self._break(call, StatusCode.INVALID_ARGUMENT, "malformed frame")
        elif call is None and (frame is None or frame.version != VERSION or frame.kind == Kind.REQUEST):
            self._begin(request_id, frame)
        # else: a second request for a running call; a frame for one that has ended; a kind unknown here

    # ---- running calls

    def _continue(self, call: ServerCall, frame: Frame) -> None:
        flow, method = call.context.flow, call.context.method
        if frame.kind == Kind.CANCEL:
            self._give_up(call)
        elif frame.kind == Kind.MESSAGE and not flow.receive(frame):
            text = "more messages than were granted, or one after the last"
            self._break(call, StatusCode.RESOURCE_EXHAUSTED, text)
        elif frame.kind == Kind.HALF_CLOSE:
            flow.close_inbox()
        elif frame.kind == Kind.CREDIT and method.server_streams:
            flow.add_credit(frame.credit)

    def _give_up(self, call: ServerCall) -> None:
        call.detach()
        call.give_up(StatusCode.CANCELLED)

    def _break(self, call: ServerCall, code: StatusCode, text: str) -> None:
        """The client did not keep to the protocol."""
        self._refuse(call.request_id, code, text)
        self._give_up(call)

    # ---- beginning

    def _refuse(
        self, request_id: int, code: int, text: str, trailers: Metadata = Metadata(), not_begun: bool = False
    ) -> None:
        response = Frame(Kind.RESPONSE, status=code, status_text=text, trailers=trailers)
        response.not_begun = int(not_begun)
        self.link.send(request_id, response)

    def _begin(self, request_id: int, frame: Frame | None) -> None:
        method, handler = self.server.methods.get(frame.method, (None, None)) if frame else (None, None)
        trailers = Metadata()
        try:
            identity = self._admit(frame, method)
        except Abort as e:
            if e.code == StatusCode.RESOURCE_EXHAUSTED:
                trailers = Metadata(((RETRY_AFTER, str(RETRY_AFTER_MS)),))
            self._refuse(request_id, e.code, e.text, trailers, isinstance(e, NotBegun))
            return
        assert frame and method and handler
        window = self.server.options.stream_window_bytes if method.client_streams else 0
        flow = Flow(self.loop, window, FIRST_CREDIT, frame.credit or FIRST_CREDIT)
        context = Context(method, frame, flow, self.pipe.peer, identity)
        call = ServerCall(self, request_id, context, handler)
        self.calls[request_id] = call
        if frame.timeout_us:
            call.timer = self.loop.call_later(
                frame.timeout_us / 1e6, call.give_up, StatusCode.DEADLINE_EXCEEDED
            )
        self._feed(call, frame)
        self.server.running += 1
        self.server.workers.submit(call.run)

    def _feed(self, call: ServerCall, request: Frame) -> None:
        flow = call.context.flow
        flow.connect(self.link, call.request_id)
        if call.context.method.client_streams:
            flow.widen()
            flow.receive(request)
        else:
            flow.put(request.payloads[0])
            flow.close_inbox()

    def _admit(self, frame: Frame | None, method: Method | None) -> Identity | None:
        """Who calls. Abort: the call is refused."""
        server = self.server
        if frame is None:
            raise Abort(StatusCode.INVALID_ARGUMENT, "malformed frame")
        if frame.version != VERSION:
            raise Abort(
                StatusCode.UNIMPLEMENTED, f"frame version {frame.version}; this server speaks {VERSION}"
            )
        if not method:
            raise Abort(StatusCode.UNIMPLEMENTED, f"unknown method {frame.method}")
        if not method.client_streams and len(frame.payloads) != 1:
            raise Abort(
                StatusCode.UNIMPLEMENTED, f"{method.path} takes one message, and got {len(frame.payloads)}"
            )
        if server.is_draining and self._knows_drain():
            raise NotBegun(StatusCode.UNAVAILABLE, "the server is shutting down")
        options = server.options
        if server.running >= options.max_workers + options.max_queued:
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, "the server has too many calls waiting")
        if len(self.calls) >= options.max_calls_per_connection or self.link.held_bytes > HELD_BYTES_MAX:
            raise Abort(StatusCode.RESOURCE_EXHAUSTED, "the connection has too many calls under way")
        return self._identify(frame, method)

    def _identify(self, frame: Frame, method: Method) -> Identity | None:
        if not self.server.tokens:
            return None
        identity = self.server.tokens.find(frame.metadata)
        if not identity:
            raise Abort(StatusCode.UNAUTHENTICATED, "the call carries no good bearer token")
        if not identity.has_any_role(method.roles):
            raise Abort(
                StatusCode.PERMISSION_DENIED,
                f"{identity.subject} has none of the roles that {method.path} " "asks for",
            )
        return identity
