# SPDX-License-Identifier: Apache-2.0
"""Reads and writes protobuf fields: what frame.py and status.py need of the wire format, and no more."""
from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10


def varint(value: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number; nothing if it is 0."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """A field that holds bytes, a text or a message, written even if it is empty."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for i in range(_VARINT_BYTES_MAX):
        if at + i >= len(data):
            break
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    raise ValueError(f"malformed number at byte {at}")


def read_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field in turn: an int, or the bytes of a text or message. Fields of fixed size
    are passed over: the schemas read here have none. ValueError: it is no protobuf message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise ValueError(f"field number {number}")
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        size = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind not in (_FIXED64, _FIXED32):
            raise ValueError(f"wire type {kind}")
        if size > len(data) - at:
            raise ValueError(f"field {number} is cut off")
        if kind == _BYTES:
            yield number, data[at : at + size]
        at += size
