# SPDX-License-Identifier: Apache-2.0
"""nrpc.v1.Frame (proto/nrpc/v1/frame.proto), and the rules for metadata.

Read by hand so that the limits hold before anything is kept, however hostile the bytes.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from .wire import bytes_field, number_field, read_fields

VERSION = 1
METADATA_MAX = 64
METADATA_BYTES_MAX = 8 << 10
METHOD_MAX = 512
MESSAGE_COST = 16  # bytes of credit that a message costs besides its own
WINDOW_MAX = 1 << 20  # bytes of credit that we grant at most
PAYLOADS_MAX = WINDOW_MAX // MESSAGE_COST + 1  # more cannot come within that

_KEY = re.compile(r"[a-z0-9_.-]+")


class Kind(IntEnum):
    """What a frame is for; docs/PROTOCOL.md, "Calls"."""

    REQUEST = 1
    RESPONSE = 2
    MESSAGE = 3
    HALF_CLOSE = 4
    CANCEL = 5
    CREDIT = 6
    GOODBYE = 7
    ACK = 8
    PING = 9
    DRAIN = 10
    BATCH = 11


class Metadata(tuple[tuple[str, "str | bytes"], ...]):
    """Pairs of key and value in the order of sending; values are bytes where the key ends in "-bin"."""

    __slots__ = ()

    def get(self, key: str, default: str | bytes | None = None) -> str | bytes | None:
        """The first value under a key."""
        return next((value for k, value in self if k == key), default)

    def get_all(self, key: str) -> list[str | bytes]:
        """All values under a key."""
        return [value for k, value in self if k == key]


MetadataLike = Mapping[str, "str | bytes"] | Iterable[tuple[str, "str | bytes"]] | None


def make_metadata(entries: MetadataLike) -> Metadata:
    """What a program gave, checked. ValueError: it is against the rules."""
    if entries is None:
        return Metadata()
    metadata = Metadata((k, v) for k, v in (entries.items() if isinstance(entries, Mapping) else entries))
    size = 0
    for key, value in metadata:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r}: only a-z 0-9 - _ . are allowed")
        if not isinstance(value, bytes if key.endswith("-bin") else str):
            raise ValueError(f"metadata {key!r}: bytes go under keys that end in -bin, texts under others")
        size += len(key) + len(_value_bytes(value))
    if len(metadata) > METADATA_MAX or size > METADATA_BYTES_MAX:
        raise ValueError(f"metadata over {METADATA_MAX} entries or {METADATA_BYTES_MAX} bytes")
    return metadata


def _value_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


@dataclass(slots=True)
class Frame:
    """One frame; the fields are the schema's."""

    kind: int
    version: int = VERSION
    method: str = ""
    timeout_us: int = 0
    metadata: Metadata = Metadata()
    status: int = 0
    status_text: str = ""
    status_details: bytes = b""
    credit: int = 0
    ack: int = 0
    trailers: Metadata = Metadata()
    not_begun: int = 0
    payloads: list[bytes] = field(default_factory=list)

    def cost(self) -> int:
        """What its payloads cost of a stream's credit."""
        return sum(len(p) for p in self.payloads) + MESSAGE_COST * len(self.payloads)


# ---- writing


def _metadata_fields(number: int, metadata: Metadata) -> bytes:
    return b"".join(
        bytes_field(number, bytes_field(1, key.encode()) + bytes_field(2, _value_bytes(value)))
        for key, value in metadata
    )


def encode(f: Frame) -> bytes:
    """The bytes of a frame."""
    parts = [number_field(1, f.version), number_field(2, f.kind)]
    if f.method:
        parts.append(bytes_field(3, f.method.encode()))
    parts += [number_field(4, f.timeout_us), _metadata_fields(5, f.metadata), number_field(6, f.status)]
    if f.status_text:
        parts.append(bytes_field(7, f.status_text.encode()))
    if f.status_details:
        parts.append(bytes_field(8, f.status_details))
    parts += [number_field(9, f.credit), number_field(10, f.ack), _metadata_fields(11, f.trailers)]
    parts.append(number_field(12, f.not_begun))
    parts += [bytes_field(15, payload) for payload in f.payloads]
    return b"".join(parts)


# ---- reading

_NUMBERS = {1: "version", 2: "kind", 4: "timeout_us", 6: "status", 9: "credit", 10: "ack", 12: "not_begun"}
_METADATA, _TRAILERS, _PAYLOAD = 5, 11, 15


def _read_entry(data: memoryview) -> tuple[str, str | bytes, int]:
    entry = {1: b"", 2: b""}
    for number, value in read_fields(data):
        if number in entry and not isinstance(value, int):
            if len(value) > METADATA_BYTES_MAX:
                raise ValueError("metadata too long")
            entry[number] = bytes(value)
    key = entry[1].decode("ascii")
    if not _KEY.fullmatch(key):
        raise ValueError("malformed metadata key")
    text: str | bytes = entry[2] if key.endswith("-bin") else entry[2].decode()
    return key, text, len(entry[1]) + len(entry[2])


class _Reader:
    """Gathers the fields of one frame, and refuses too many of them."""

    def __init__(self) -> None:
        self.frame = Frame(kind=0, version=0)
        self.entries: dict[int, list[tuple[str, str | bytes]]] = {_METADATA: [], _TRAILERS: []}
        self.metadata_bytes = 0

    def take(self, number: int, value: int | memoryview) -> None:
        f = self.frame
        if isinstance(value, int):
            if number in _NUMBERS:
                setattr(f, _NUMBERS[number], value if number == 4 else value & 0xFFFFFFFF)
        elif number in self.entries:
            self._take_metadata(number, value)
        elif number == 3:
            if len(value) > METHOD_MAX:
                raise ValueError(f"method name over {METHOD_MAX} bytes")
            f.method = bytes(value).decode()
        elif number == 7:
            f.status_text = bytes(value).decode(errors="replace")
        elif number == 8:
            f.status_details = bytes(value)
        elif number == _PAYLOAD:
            f.payloads.append(bytes(value))
            if len(f.payloads) > PAYLOADS_MAX:
                raise ValueError(f"more than {PAYLOADS_MAX} payloads")

    def _take_metadata(self, number: int, value: memoryview) -> None:
        key, text, size = _read_entry(value)
        self.entries[number].append((key, text))
        self.metadata_bytes += size
        if self.metadata_bytes > METADATA_BYTES_MAX or sum(map(len, self.entries.values())) > METADATA_MAX:
            raise ValueError(f"metadata over {METADATA_MAX} entries or {METADATA_BYTES_MAX} bytes")


def parse(data: bytes | memoryview) -> Frame:
    """A frame from its bytes. ValueError says what is malformed."""
    reader = _Reader()
    for number, value in read_fields(memoryview(data)):
        reader.take(number, value)
    frame = reader.frame
    frame.metadata = Metadata(reader.entries[_METADATA])
    frame.trailers = Metadata(reader.entries[_TRAILERS])
    return frame
