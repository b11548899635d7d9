# SPDX-License-Identifier: Apache-2.0
"""Who is calling: static tokens from a file, "token subject role,role" a line."""
from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from .frame import Metadata

TOKENS_MAX = 16384
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_TOKEN_MIN, _TOKEN_MAX = 16, 8192


@dataclass(frozen=True)
class Identity:
    """Who a token speaks for."""

    subject: str
    roles: tuple[str, ...] = ()

    def has_any_role(self, roles: tuple[str, ...]) -> bool:
        """Whether it has one of them, or none is asked for."""
        return not roles or any(role in self.roles for role in roles)


class Tokens:
    """The tokens of a file.

    Kept and looked up by a keyed digest: the time of a look-up tells a caller nothing about a token, because
    it cannot know which digest its guess has.
    """

    def __init__(self, path: str) -> None:
        """OSError: the file cannot be read. ValueError: it is not in order; no text has a token in it."""
        self._key = secrets.token_bytes(32)
        self._identities: dict[bytes, Identity] = {}
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                words = line.split()
                if words and not words[0].startswith("#"):
                    self._add(f"{path}, line {number}", words)
        if not self._identities:
            raise ValueError(f"{path}: there is no token in it")

    def find(self, metadata: Metadata) -> Identity | None:
        """Who sent this metadata; None: nobody whom we know."""
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or len(token) > _TOKEN_MAX:
            return None
        return self._identities.get(self._digest(token))

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode(), hashlib.sha256)

    def _add(self, where: str, words: list[str]) -> None:
        if not 2 <= len(words) <= 3:
            raise ValueError(f'{where} is not "token subject role,role"')
        token, subject, *roles = words
        if not _TOKEN_MIN <= len(token) <= _TOKEN_MAX or not _TOKEN.fullmatch(token):
            raise ValueError(
                f"{where}: a token must have {_TOKEN_MIN} to {_TOKEN_MAX} letters, digits or characters "
                "of -._~+/="
            )
        digest = self._digest(token)
        if digest in self._identities or len(self._identities) == TOKENS_MAX:
            raise ValueError(
                f"{where}: this token was on an earlier line, or there are more than {TOKENS_MAX}"
            )
        self._identities[digest] = Identity(subject, tuple(r for r in ",".join(roles).split(",") if r))
