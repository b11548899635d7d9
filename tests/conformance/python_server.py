#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite's server in Python; README.md says what it does.

Needs clients/python and a conformance_pb2 (protoc --python_out) on PYTHONPATH.
"""
from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterable, Iterator

import conformance_pb2 as pb
import nrpc
from google.protobuf.empty_pb2 import Empty

BODY_MAX = 1 << 20
DRAIN_S = 10.0


def echo_metadata(context: nrpc.Context) -> None:
    """What every method does."""
    context.set_headers([e for e in context.metadata if e[0] == "x-test-echo-initial"])
    context.set_trailers([e for e in context.metadata if e[0] == "x-test-echo-trailing-bin"])


def abort_if_asked(status: pb.EchoStatus, context: nrpc.Context) -> None:
    """Ends the call with the status, if it is one."""
    if status.code:
        details = [Empty(), pb.Payload(body=b"detail")] if status.with_details else []
        context.abort(status.code, status.message, details)


def zeros(size: int, context: nrpc.Context) -> pb.Payload:
    """A payload of that size."""
    if not 0 <= size <= BODY_MAX:
        context.abort(nrpc.StatusCode.INVALID_ARGUMENT, f"response_size {size}")
    return pb.Payload(body=bytes(size))


class Counted:
    """Counts calls that the client or its deadline gave up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.cancelled = 0
        self._keys: dict[str, int] = {}

    def see_end(self, context: nrpc.Context) -> None:
        """A call ends."""
        with self._lock:
            self.cancelled += context.is_cancelled()

    def count_key(self, key: str) -> int:
        """How often a key was seen before."""
        with self._lock:
            before = self._keys.get(key, 0)
            self._keys[key] = before + 1
            return before


class TestService:
    """nrpc.testing.TestService."""

    def __init__(self) -> None:
        self._counted = Counted()

    def EmptyCall(self, _: Empty, context: nrpc.Context) -> Empty:
        echo_metadata(context)
        return Empty()

    def UnaryCall(self, request: pb.SimpleRequest, context: nrpc.Context) -> pb.SimpleResponse:
        remaining_s = context.time_remaining()
        echo_metadata(context)
        abort_if_asked(request.response_status, context)
        return pb.SimpleResponse(
            payload=zeros(request.response_size, context),
            remaining_ms=-1 if remaining_s is None else int(remaining_s * 1000),
            traceparent=context.metadata.get("traceparent", ""),
        )

    def IdempotentCall(self, request: pb.SimpleRequest, context: nrpc.Context) -> pb.SimpleResponse:
        if self._counted.count_key(request.key) < request.fail_first:
            context.abort(nrpc.StatusCode.UNAVAILABLE, "as asked")
        return self.UnaryCall(request, context)

    def StreamingOutputCall(
        self, request: pb.StreamingOutputCallRequest, context: nrpc.Context
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        echo_metadata(context)
        try:
            yield from self._answers(request, context)
        finally:
            self._counted.see_end(context)

    def StreamingInputCall(
        self, requests: Iterable[pb.StreamingInputCallRequest], context: nrpc.Context
    ) -> pb.StreamingInputCallResponse:
        echo_metadata(context)
        try:
            size = sum(len(r.payload.body) for r in requests)
            return pb.StreamingInputCallResponse(aggregated_payload_size=size)
        finally:
            self._counted.see_end(context)

    def FullDuplexCall(
        self, requests: Iterable[pb.StreamingOutputCallRequest], context: nrpc.Context
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        echo_metadata(context)
        try:
            for request in requests:
                yield from self._answers(request, context)
        finally:
            self._counted.see_end(context)

    def HalfDuplexCall(
        self, requests: Iterable[pb.StreamingOutputCallRequest], context: nrpc.Context
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        return self.FullDuplexCall(list(requests), context)

    def Hang(self, _: Empty, context: nrpc.Context) -> Empty:
        context.wait_for_cancel()
        self._counted.see_end(context)
        return Empty()

    def Seen(self, _: Empty, __: nrpc.Context) -> pb.SeenResponse:
        return pb.SeenResponse(cancelled=self._counted.cancelled)

    @staticmethod
    def _answers(
        request: pb.StreamingOutputCallRequest, context: nrpc.Context
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        abort_if_asked(request.response_status, context)
        for parameters in request.response_parameters:
            time.sleep(max(0, parameters.interval_us) / 1e6)
            yield pb.StreamingOutputCallResponse(payload=zeros(parameters.size, context))


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True)
    for name in ("--cert", "--key", "--ca", "--tokens"):
        parser.add_argument(name)
    a = parser.parse_args()
    tls = nrpc.TlsOptions(ca_file=a.ca, certificate_file=a.cert, key_file=a.key)
    with nrpc.Server(max_workers=64, tls=tls, tokens_file=a.tokens) as server:
        server.add(pb.DESCRIPTOR.services_by_name["TestService"], TestService())
        print(server.listen(a.listen), flush=True)
        sys.stdin.read()
        server.drain(DRAIN_S)


if __name__ == "__main__":
    main()
