# SPDX-License-Identifier: Apache-2.0
"""The window of a connection, retries, tokens, urls: what needs no socket."""
import os
import tempfile
import unittest

from nrpc.auth import Tokens
from nrpc.frame import Frame, Kind, Metadata, parse
from nrpc.link import ACK_MESSAGES, CONNECTION_ID, HELD_MAX, WINDOW, Link
from nrpc.retry import RetryBudget, RetryOptions, pushback_ms
from nrpc.status import RpcError, StatusCode, pack_details
from nrpc.transport import Address, parse_url

ID = 0x80000001


class LinkTest(unittest.TestCase):
    def setUp(self):
        self.written = []
        self.overflows = 0
        self.link = Link(
            lambda request_id, data: self.written.append((request_id, parse(data))), self.overflow
        )

    def overflow(self):
        self.overflows += 1

    def test_the_window_holds_back_and_keeps_the_order(self):
        for i in range(WINDOW + 5):
            self.link.send(ID, Frame(Kind.CREDIT, credit=i + 1))
        self.assertEqual(len(self.written), WINDOW)
        self.link.heard(Frame(Kind.ACK, ack=3))
        self.assertEqual([f.credit for _, f in self.written], list(range(1, WINDOW + 4)))
        self.link.heard(Frame(Kind.ACK, ack=2))  # was overtaken
        self.link.heard(Frame(Kind.ACK, ack=1000))  # is no number of ours
        self.assertEqual(len(self.written), WINDOW + 3)

    def test_frames_of_the_connection_wait_for_nothing(self):
        for _ in range(WINDOW + 5):
            self.link.send(ID, Frame(Kind.CANCEL))
        self.link.say(Kind.PING)
        self.assertEqual(self.written[-1][0], CONNECTION_ID)
        self.link.say(Kind.GOODBYE)
        self.link.say(Kind.ACK)
        self.link.send(ID, Frame(Kind.CANCEL))
        self.assertEqual(self.written[-1][1].kind, Kind.GOODBYE)

    def test_acknowledges_in_time(self):
        for _ in range(ACK_MESSAGES):
            self.assertFalse(self.link.owes_ack())
            self.link.heard(Frame(Kind.CREDIT))
        self.assertTrue(self.link.owes_ack())
        self.link.say(Kind.ACK)
        self.assertFalse(self.link.owes_ack())
        self.assertEqual(self.written[-1][1].ack, ACK_MESSAGES)

    def test_a_peer_that_acknowledges_nothing_is_given_up(self):
        for _ in range(WINDOW + HELD_MAX + 1):
            self.link.send(ID, Frame(Kind.CANCEL))
        self.assertEqual(self.overflows, 1)


class RetryTest(unittest.TestCase):
    def wait(self, code, pushback=0, attempts=1, budget=None):
        return (budget or RetryBudget()).wait_s(RetryOptions(), attempts, code, pushback)

    def test_what_is_retried(self):
        self.assertTrue(0.04 <= self.wait(StatusCode.UNAVAILABLE) <= 0.06)
        self.assertTrue(0.16 <= self.wait(StatusCode.UNAVAILABLE, attempts=3) <= 0.24)
        self.assertEqual(self.wait(StatusCode.RESOURCE_EXHAUSTED, pushback=300), 0.3)
        for wait in (
            self.wait(StatusCode.UNAVAILABLE, attempts=4),
            self.wait(StatusCode.UNAVAILABLE, pushback=-1),
            self.wait(StatusCode.RESOURCE_EXHAUSTED),
            self.wait(StatusCode.INTERNAL),
        ):
            self.assertIsNone(wait)

    def test_the_budget_runs_out_and_recovers(self):
        budget = RetryBudget()
        for _ in range(51):
            budget.take_result(StatusCode.UNAVAILABLE)
        self.assertIsNone(self.wait(StatusCode.UNAVAILABLE, budget=budget))
        for _ in range(11):
            budget.take_result(StatusCode.OK)
        self.assertIsNotNone(self.wait(StatusCode.UNAVAILABLE, budget=budget))

    def test_pushback(self):
        for text, ms in (
            ("0", 0),
            ("250", 250),
            ("-1", -1),
            ("", -1),
            ("1e3", -1),
            ("99999999999", -1),
            ("2147483648", -1),
        ):
            self.assertEqual(pushback_ms(Metadata((("retry-after-ms", text),))), ms, text)
        self.assertEqual(pushback_ms(Metadata()), 0)


class TokensTest(unittest.TestCase):
    def read(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".tokens", delete=False) as file:
            file.write(text)
        self.addCleanup(os.unlink, file.name)
        return Tokens(file.name)

    def test_finds_who_calls(self):
        tokens = self.read("# comment\n\nabcdefghijklmnop somebody reader,writer\nABCDEFGHIJKLMNOP other\n")
        identity = tokens.find(Metadata((("authorization", "bearer abcdefghijklmnop"),)))
        self.assertEqual((identity.subject, identity.roles), ("somebody", ("reader", "writer")))
        self.assertTrue(identity.has_any_role(("x", "writer")) and identity.has_any_role(()))
        self.assertFalse(identity.has_any_role(("x",)))
        for value in (
            "Bearer abcdefghijklmnoq",
            "abcdefghijklmnop",
            "Basic abcdefghijklmnop",
            "Bearer ",
            "Bearer " + "a" * 9000,
        ):
            self.assertIsNone(tokens.find(Metadata((("authorization", value),))))
        self.assertIsNone(tokens.find(Metadata()))

    def test_refuses_bad_files_without_showing_a_token(self):
        token = "secretsecretsecret"
        for text in ("", token, f"{token} a b c", "short somebody", f"{token}! a", f"{token} a\n{token} b"):
            with self.assertRaises(ValueError) as caught:
                self.read(text)
            self.assertNotIn(token, str(caught.exception))


class SmallTest(unittest.TestCase):
    def test_urls(self):
        self.assertEqual(parse_url("tcp://[::1]:5"), Address("tcp", "::1", 5))
        for url in ("tcp://127.0.0.1:5", "tls+tcp://host:65535", "ipc:///a/b", "tcp://[::1]:5"):
            self.assertEqual(str(parse_url(url)), url)
        for url in (
            "",
            "tcp://host",
            "tcp://host:",
            "tcp://host:x",
            "tcp://host:65536",
            "http://host:5",
            "ipc://",
            "host:5",
        ):
            with self.assertRaises(ValueError):
                parse_url(url)

    def test_details_that_cannot_be_read_are_none(self):
        self.assertEqual(RpcError(13, "x", details=b"\xff").details, [])
        self.assertEqual(len(RpcError(13, "x", details=pack_details(13, "x", [])).details), 0)
        self.assertEqual(RpcError(99, "x").code, 99)


if __name__ == "__main__":
    unittest.main()
