# SPDX-License-Identifier: Apache-2.0
"""Methods of a service as methods in Python, made from its descriptor."""
from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from .call import Call
from .channel import Channel
from .frame import MetadataLike
from .method import Method, methods_of


class StubMethod:
    """One method, to be called: with a message, or an iterable of messages if the client streams. Returns the
    answer, or a Call to iterate over if the server streams.

    timeout: seconds until the deadline; metadata: pairs or a mapping; wait_for_ready: wait for a connection
    until the deadline instead of failing UNAVAILABLE. RpcError: the call did not end well.
    """

    def __init__(self, channel: Channel, method: Method) -> None:
        self._channel = channel
        self.method = method

    def __call__(
        self,
        request: Message | Iterable[Message],
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        wait_for_ready: bool = False,
    ) -> Message | Call:
        call = self.start(
            None if self.method.client_streams else request,
            timeout=timeout,
            metadata=metadata,
            wait_for_ready=wait_for_ready,
        )
        if self.method.client_streams:
            call.write_in_background(request)
        return call if self.method.server_streams else call.result()

    def start(
        self,
        request: Message | None = None,
        *,
        timeout: float | None = None,
        metadata: MetadataLike = None,
        wait_for_ready: bool = False,
    ) -> Call:
        """Begins a call and does not wait. If the client streams, its messages are written by Call.write."""
        return self._channel.start(
            self.method, request, timeout=timeout, metadata=metadata, wait_for_ready=wait_for_ready
        )


class Stub:
    """A service at the other end of a channel; stub.Method(request) calls."""

    def __init__(self, channel: Channel, service: ServiceDescriptor) -> None:
        for method in methods_of(service):
            setattr(self, method.name, StubMethod(channel, method))

    def __getattr__(self, name: str) -> StubMethod:
        raise AttributeError(f"the service has no method {name}")
