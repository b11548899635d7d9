#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite's client in Python; README.md says what each case does.

Needs clients/python and a conformance_pb2 (protoc --python_out) on PYTHONPATH.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable

import conformance_pb2 as pb
import nrpc
from google.protobuf.empty_pb2 import Empty
from nrpc import StatusCode

FAILED, NOT_SUPPORTED = 1, 77
TIMEOUT_S = 20.0
PATIENT = {"timeout": TIMEOUT_S, "wait_for_ready": True}
RESPONSE_SIZES = (31415, 9, 2653, 58979)
REQUEST_SIZES = (27182, 8, 1828, 45904)
STATUS_TEXT = "test status message"
SPECIAL_TEXT = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
METADATA = (
    ("x-test-echo-initial", "test_initial_metadata_value"),
    ("x-test-echo-trailing-bin", b"\xab\xab\xab"),
)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

CASES: dict[str, Callable[["Client"], None]] = {}


def case(function: Callable[["Client"], None]) -> Callable[["Client"], None]:
    """Registers a case under its name."""
    CASES[function.__name__] = function
    return function


def check(condition: object, text: str) -> None:
    """Fails the case unless it is so."""
    if not condition:
        raise AssertionError(text)


def expect_error(code: StatusCode, call: Callable[[], object]) -> nrpc.RpcError:
    """Runs what must end with this code."""
    try:
        call()
    except nrpc.RpcError as e:
        check(e.code == code, f"{e} instead of {code.name}")
        return e
    raise AssertionError(f"OK instead of {code.name}")


def payload(size: int) -> pb.Payload:
    """Zeros."""
    return pb.Payload(body=bytes(size))


def ask(response_size: int, size: int) -> pb.StreamingOutputCallRequest:
    """Asks for one message of response_size; the request carries size bytes."""
    return pb.StreamingOutputCallRequest(
        response_parameters=[pb.ResponseParameters(size=response_size)], payload=payload(size)
    )


def ask_all(sizes: Iterable[int]) -> pb.StreamingOutputCallRequest:
    """Asks for messages of these sizes."""
    return pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=s) for s in sizes])


def check_sizes(messages: Iterable[pb.StreamingOutputCallResponse], wanted: Iterable[int]) -> None:
    """These messages come, and no more."""
    sizes = [len(m.payload.body) for m in messages]
    check(sizes == list(wanted), f"messages of {sizes} bytes")


def hear(call: nrpc.Call, size: int) -> None:
    """The next message has this size."""
    message = call.read()
    check(message and len(message.payload.body) == size, f"not a message of {size} bytes")


def say_running() -> None:
    """Lets the driver do its part."""
    print("running", flush=True)
    check(sys.stdin.readline(), "the driver has gone")


class Client:
    """What the cases call."""

    def __init__(self, channel: nrpc.Channel) -> None:
        self.test = nrpc.Stub(channel, pb.DESCRIPTOR.services_by_name["TestService"])
        self.unknown = nrpc.Stub(channel, pb.DESCRIPTOR.services_by_name["UnimplementedService"])

    def unary(self, size: int, response_size: int, **options: object) -> pb.SimpleResponse:
        """UnaryCall, checked."""
        request = pb.SimpleRequest(response_size=response_size, payload=payload(size))
        response = self.test.UnaryCall(request, **options)
        check(len(response.payload.body) == response_size, "the response has another size")
        return response

    def cancelled(self) -> int:
        """How many calls the server saw given up."""
        return self.test.Seen(Empty(), **PATIENT).cancelled

    def wait_for_cancelled(self, before: int) -> None:
        """The server sees one more within 5 s."""
        end = time.monotonic() + 5
        while self.cancelled() <= before:
            check(time.monotonic() < end, "the server saw nothing of it")
            time.sleep(0.01)

    def running_duplex(self) -> nrpc.Call:
        """A call of which the server has answered the first message."""
        call = self.test.FullDuplexCall.start(**PATIENT)
        call.write(ask(1, 1))
        hear(call, 1)
        return call


# ---- unary


@case
def empty_unary(c: Client) -> None:
    c.test.EmptyCall(Empty(), **PATIENT)


@case
def large_unary(c: Client) -> None:
    c.unary(271828, 314159, **PATIENT)


@case
def deadline_propagates(c: Client) -> None:
    remaining_ms = c.unary(1, 1, timeout=10.0).remaining_ms
    check(1 <= remaining_ms <= 10000, f"remaining_ms {remaining_ms}")
    remaining_ms = c.unary(1, 1).remaining_ms
    check(remaining_ms == -1, f"remaining_ms {remaining_ms}")


@case
def traceparent(c: Client) -> None:
    sent = {"traceparent": TRACEPARENT}
    check(c.unary(1, 1, metadata=sent, **PATIENT).traceparent == TRACEPARENT, "another traceparent arrived")


def fail_unary(c: Client, code: int, text: str, with_details: bool = False) -> nrpc.RpcError:
    """UnaryCall that must end so."""
    status = pb.EchoStatus(code=code, message=text, with_details=with_details)
    error = expect_error(
        StatusCode(code), lambda: c.test.UnaryCall(pb.SimpleRequest(response_status=status), **PATIENT)
    )
    check(error.text == text, f"another text: {error.text!r}")
    return error


@case
def status_code_and_message(c: Client) -> None:
    fail_unary(c, StatusCode.UNKNOWN, STATUS_TEXT)
    request = pb.StreamingOutputCallRequest(response_status=pb.EchoStatus(code=2, message=STATUS_TEXT))
    call = c.test.FullDuplexCall([request], **PATIENT)
    error = expect_error(StatusCode.UNKNOWN, call.read)
    check(error.text == STATUS_TEXT, f"another text: {error.text!r}")


@case
def special_status_message(c: Client) -> None:
    fail_unary(c, StatusCode.UNKNOWN, SPECIAL_TEXT)


@case
def status_details(c: Client) -> None:
    error = fail_unary(c, StatusCode.FAILED_PRECONDITION, "not yet", with_details=True)
    detail = error.detail(pb.Payload)
    check(detail and detail.body == b"detail", "the detail did not come back")
    check(
        error.detail(Empty) is not None and error.detail(pb.SimpleRequest) is None, "other details came back"
    )


@case
def unimplemented_method(c: Client) -> None:
    expect_error(StatusCode.UNIMPLEMENTED, lambda: c.test.UnimplementedCall(Empty(), **PATIENT))


@case
def unimplemented_service(c: Client) -> None:
    expect_error(StatusCode.UNIMPLEMENTED, lambda: c.unknown.UnimplementedCall(Empty(), **PATIENT))


@case
def retry_idempotent(c: Client) -> None:
    call = c.test.IdempotentCall.start(pb.SimpleRequest(key=f"python-{os.getpid()}", fail_first=2), **PATIENT)
    call.result()
    check(call.attempts == 3, f"{call.attempts} attempts")
    status = pb.EchoStatus(code=StatusCode.UNAVAILABLE, message="x")
    call = c.test.UnaryCall.start(pb.SimpleRequest(response_status=status), **PATIENT)
    expect_error(StatusCode.UNAVAILABLE, call.result)
    check(call.attempts == 1, f"{call.attempts} attempts of a method that is not idempotent")


@case
def custom_metadata(c: Client) -> None:
    unary = c.test.UnaryCall.start(pb.SimpleRequest(response_size=10), metadata=METADATA, **PATIENT)
    unary.result()
    duplex = c.test.FullDuplexCall([ask(10, 10)], metadata=METADATA, **PATIENT)
    check_sizes(duplex, [10])
    for call in (unary, duplex):
        check(METADATA[0] in call.headers(), f"headers {call.headers()}")
        check(METADATA[1] in call.trailers(), f"trailers {call.trailers()}")


# ---- streams


@case
def client_streaming(c: Client) -> None:
    requests = (pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES)
    size = c.test.StreamingInputCall(requests, **PATIENT).aggregated_payload_size
    check(size == 74922, f"{size} bytes arrived")


@case
def server_streaming(c: Client) -> None:
    check_sizes(c.test.StreamingOutputCall(ask_all(RESPONSE_SIZES), **PATIENT), RESPONSE_SIZES)


@case
def server_streaming_many(c: Client) -> None:
    call = c.test.StreamingOutputCall(ask_all([100] * 10000), **PATIENT)
    for _ in range(20):
        time.sleep(0.01)
        hear(call, 100)
    check_sizes(call, [100] * 9980)


@case
def ping_pong(c: Client) -> None:
    call = c.test.FullDuplexCall.start(**PATIENT)
    for response_size, size in zip(RESPONSE_SIZES, REQUEST_SIZES):
        call.write(ask(response_size, size))
        hear(call, response_size)
    call.close_send()
    check(call.read() is None, "one message too many")


@case
def half_duplex(c: Client) -> None:
    requests = (ask(response_size, size) for response_size, size in zip(RESPONSE_SIZES, REQUEST_SIZES))
    check_sizes(c.test.HalfDuplexCall(requests, **PATIENT), RESPONSE_SIZES)


@case
def empty_stream(c: Client) -> None:
    check_sizes(c.test.FullDuplexCall([], **PATIENT), [])


# ---- cancellation and deadlines


@case
def cancel_after_begin(c: Client) -> None:
    call = c.test.StreamingInputCall.start(**PATIENT)
    call.cancel()
    expect_error(StatusCode.CANCELLED, call.result)


@case
def cancel_after_first_response(c: Client) -> None:
    before = c.cancelled()
    call = c.test.FullDuplexCall.start(**PATIENT)
    call.write(ask(31415, 27182))
    hear(call, 31415)
    call.cancel()
    expect_error(StatusCode.CANCELLED, call.read)
    c.wait_for_cancelled(before)


@case
def cancel_reaches_server(c: Client) -> None:
    before = c.cancelled()
    call = c.test.Hang.start(Empty(), **PATIENT)
    c.cancelled()  # the server has the other call by now
    call.cancel()
    expect_error(StatusCode.CANCELLED, call.result)
    c.wait_for_cancelled(before)


@case
def timeout_on_sleeping_server(c: Client) -> None:
    before = c.cancelled()
    call = c.test.FullDuplexCall.start(timeout=0.05, wait_for_ready=True)
    expect_error(StatusCode.DEADLINE_EXCEEDED, call.read)
    expect_error(
        StatusCode.DEADLINE_EXCEEDED, lambda: c.test.Hang(Empty(), timeout=0.05, wait_for_ready=True)
    )
    c.wait_for_cancelled(before)


# ---- tokens, connections


@case
def wrong_token(c: Client) -> None:
    expect_error(StatusCode.UNAUTHENTICATED, lambda: c.test.EmptyCall(Empty(), **PATIENT))


CASES["no_token"] = wrong_token


@case
def reconnect(c: Client) -> None:
    call = c.running_duplex()
    say_running()  # the server is killed and started again
    expect_error(StatusCode.UNAVAILABLE, call.read)
    empty_unary(c)


@case
def drain(c: Client) -> None:
    call = c.running_duplex()
    say_running()  # from here on the server drains
    code: int = StatusCode.OK
    end = time.monotonic() + 5
    while code == StatusCode.OK:
        check(time.monotonic() < end, "the server goes on taking calls")
        code = c.test.EmptyCall.start(Empty(), timeout=0.1).code()
    check(code in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED), f"the later call ended with {code}")
    call.write(ask(5, 5))  # the old call goes on
    hear(call, 5)
    call.close_send()
    check(call.read() is None, "one message too many")


def main() -> int:
    """Runs one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--case", required=True)
    for name in ("--ca", "--cert", "--key", "--token"):
        parser.add_argument(name)
    a = parser.parse_args()
    if a.case not in CASES:
        return NOT_SUPPORTED
    tls = nrpc.TlsOptions(ca_file=a.ca, certificate_file=a.cert, key_file=a.key)
    with nrpc.Channel(a.url, token=a.token, tls=tls) as channel:
        try:
            CASES[a.case](Client(channel))
        except (AssertionError, nrpc.RpcError):
            print(traceback.format_exc().strip())
            return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
