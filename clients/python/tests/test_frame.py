# SPDX-License-Identifier: Apache-2.0
"""Frames: read as written, and hostile bytes are refused."""
import random
import unittest

from nrpc.frame import METADATA_MAX, PAYLOADS_MAX, Frame, Kind, Metadata, encode, make_metadata, parse
from nrpc.wire import bytes_field, number_field, varint


class FrameTest(unittest.TestCase):
    def test_every_field_comes_back(self):
        frame = Frame(
            Kind.RESPONSE,
            method="/a.B/C",
            timeout_us=2**63,
            metadata=Metadata((("a", "ä"), ("b-bin", b"\0\xff"))),
            status=14,
            status_text="näh",
            status_details=b"\1\2",
            credit=2**32 - 1,
            ack=7,
            trailers=Metadata((("t", ""),)),
            payloads=[b"", b"x" * 300],
        )
        self.assertEqual(parse(encode(frame)), frame)

    def test_unknown_fields_are_passed_over(self):
        extra = (
            number_field(99, 5)
            + bytes_field(98, b"abc")
            + varint(97 << 3 | 1)
            + bytes(8)
            + varint(96 << 3 | 5)
            + bytes(4)
        )
        self.assertEqual(parse(extra + encode(Frame(Kind.PING)) + extra), Frame(Kind.PING))

    def test_cut_off_frames_are_refused_or_shorter(self):
        whole = encode(
            Frame(
                Kind.REQUEST, method="/a.B/C", metadata=Metadata((("key", "value"),)), payloads=[b"payload"]
            )
        )
        for n in range(len(whole)):
            try:
                self.assertNotEqual(parse(whole[:n]).payloads, [b"payload"])
            except ValueError:
                pass

    def test_random_bytes_raise_nothing_else(self):
        dice = random.Random(1)
        whole = encode(
            Frame(
                Kind.REQUEST, method="/a.B/C", metadata=Metadata((("key", "value"),)), payloads=[b"payload"]
            )
        )
        for _ in range(2000):
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 5)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                parse(bytes(data))
            except ValueError:
                pass

    def test_limits_hold(self):
        entry = bytes_field(5, bytes_field(1, b"k"))
        self.assertEqual(len(parse(entry * METADATA_MAX).metadata), METADATA_MAX)
        for data in (
            entry * (METADATA_MAX + 1),
            bytes_field(5, bytes_field(1, b"k") + bytes_field(2, b"v" * 8192)),
            bytes_field(5, bytes_field(1, b"K")),
            bytes_field(5, b""),
            bytes_field(5, bytes_field(1, b"k") + bytes_field(2, b"\xff")),
            bytes_field(3, b"m" * 513),
            bytes_field(15, b"") * (PAYLOADS_MAX + 1),
            b"\x80" * 11,
            varint(1 << 3 | 3),
            b"\0",
        ):
            with self.assertRaises(ValueError):
                parse(data)

    def test_metadata_of_programs_is_checked(self):
        self.assertEqual(make_metadata({"a": "b"}), (("a", "b"),))
        self.assertEqual(make_metadata([("a", "b"), ("a", "c")]).get_all("a"), ["b", "c"])
        self.assertIsNone(make_metadata(None).get("a"))
        for bad in ({"A": "b"}, {"": "b"}, {"a": b"b"}, {"a-bin": "b"}, {"a": "b" * 8192}, [("a", "b")] * 65):
            with self.assertRaises(ValueError):
                make_metadata(bad)


if __name__ == "__main__":
    unittest.main()
