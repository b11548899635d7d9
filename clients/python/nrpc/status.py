# SPDX-License-Identifier: Apache-2.0
"""How calls end: a code for the program, a sentence for the person, details with a type."""
from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeVar

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from .frame import Metadata
from .wire import bytes_field, number_field, read_fields

M = TypeVar("M", bound=Message)


class StatusCode(IntEnum):
    """gRPC's codes, with gRPC's numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


def status_code(number: int) -> int:
    """A StatusCode, or the plain number if it is none."""
    try:
        return StatusCode(number)
    except ValueError:
        return number


class RpcError(Exception):
    """A call that did not end well."""

    def __init__(
        self,
        code: int,
        text: str,
        *,
        details: bytes = b"",
        headers: Metadata = Metadata(),
        trailers: Metadata = Metadata(),
    ) -> None:
        super().__init__(code, text)
        self.code = status_code(code)
        self.text = text
        self.headers = headers
        self.trailers = trailers
        self._details = details

    def __str__(self) -> str:
        return f"{getattr(self.code, 'name', self.code)}: {self.text}"

    @property
    def details(self) -> list[Any]:
        """The details that the server gave, packed; none if they cannot be read."""
        return unpack_details(self._details)

    def detail(self, message_class: type[M]) -> M | None:
        """The first detail of this type, unpacked; None: there is none."""
        for packed in self.details:
            message = message_class()
            try:
                if packed.Unpack(message):
                    return message
            except DecodeError:
                pass
        return None


# google.rpc.Status, nrpc.v1.Status: code = 1, message = 2, details = 3


def pack_details(code: int, text: str, details: Iterable[Message]) -> bytes:
    """A packed nrpc.v1.Status."""
    out = number_field(1, code) + bytes_field(2, text.encode())
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        out += bytes_field(3, packed.SerializeToString())
    return out


def unpack_details(data: bytes) -> list[Any]:
    """The details in a packed nrpc.v1.Status."""
    try:
        return [
            Any.FromString(bytes(value))
            for number, value in read_fields(memoryview(data))
            if number == 3 and not isinstance(value, int)
        ]
    except (ValueError, DecodeError):
        return []
