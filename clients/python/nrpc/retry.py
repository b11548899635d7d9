# SPDX-License-Identifier: Apache-2.0
"""Whether and when a failed call is tried again: exponential backoff, server pushback, a budget."""
from __future__ import annotations

import random
from dataclasses import dataclass

from .frame import Metadata
from .status import StatusCode

JITTER = 0.2
RETRY_AFTER = "retry-after-ms"
_TOKENS_MAX = 100.0
_FAILURE_COSTS, _SUCCESS_EARNS = 1.0, 0.1
_INT32_MAX = 0x7FFFFFFF


@dataclass(frozen=True)
class RetryOptions:
    """For calls of methods whose idempotency_level says that they may be executed twice."""

    max_attempts: int = 4  # in all; 1: no retry
    backoff_s: float = 0.05  # before the first retry, doubled for each, with jitter
    backoff_max_s: float = 2.0


def jittered(seconds: float) -> float:
    """The same, give or take a fifth."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)


def pushback_ms(trailers: Metadata) -> int:
    """What the server says in retry-after-ms; 0: nothing; -1: never."""
    value = trailers.get(RETRY_AFTER)
    if value is None:
        return 0
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10
    return int(value) if is_number and int(value) <= _INT32_MAX else -1


class RetryBudget:
    """Against retry storms, as gRPC's throttling: below half of the tokens nothing is retried."""

    def __init__(self) -> None:
        self.tokens = _TOKENS_MAX

    def take_result(self, code: int) -> None:
        """An attempt ended so."""
        if code == StatusCode.OK:
            self.tokens = min(self.tokens + _SUCCESS_EARNS, _TOKENS_MAX)
        elif code == StatusCode.UNAVAILABLE:
            self.tokens = max(self.tokens - _FAILURE_COSTS, 0.0)

    def wait_s(self, options: RetryOptions, attempts: int, code: int, pushback: int) -> float | None:
        """How long to wait before the next attempt; None: there is none. attempts: so far."""
        may = code == StatusCode.UNAVAILABLE or code == StatusCode.RESOURCE_EXHAUSTED and pushback > 0
        if not may or pushback < 0 or attempts >= options.max_attempts or self.tokens < _TOKENS_MAX / 2:
            return None
        if pushback > 0:
            return pushback / 1000
        return jittered(min(options.backoff_s * 2 ** (attempts - 1), options.backoff_max_s))
