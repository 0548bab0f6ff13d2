"""A circuit breaker: a dependency that is down is not asked again and again.

pybreaker and circuitbreaker were looked at: neither takes a clock, and both would need an adapter longer than this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from watchkeeper.errors import Unavailable, WatchkeeperError

Result = TypeVar("Result")


class CircuitBreaker:
    """After `failures` calls in a row that are Unavailable, refuses for `open_s` seconds, then lets one call through.

    That one call decides: if the dependency answers (with a result, or with an error of another kind) the circuit
    closes, else it stays open for as long again. `clock` is in seconds and never runs backwards.
    """

    def __init__(self, failures: int = 3, open_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._shut_until = 0.0
        self._why = ""

    def call(self, act: Callable[[], Result]) -> Result:
        """The result of `act`. Unavailable: it was raised by `act`, or `act` was not tried."""
        self._enter()
        try:
            result = act()
        except Unavailable as error:
            self._has_failed(str(error))
            raise
        except WatchkeeperError:
            self._has_answered()
            raise
        self._has_answered()
        return result

    def _enter(self) -> None:
        with self._lock:
            if self._failed < self._limit:
                return
            left = self._shut_until - self._clock()
            if left > 0:
                raise Unavailable(
                    f"not asked: {self._failed} failures in a row, next try in {left:.0f} s ({self._why})"
                )
            # Whoever comes while this one is on its way is refused, and if it never returns, not for ever.
            self._shut_until = self._clock() + self._open_s

    def _has_failed(self, why: str) -> None:
        with self._lock:
            self._failed += 1
            self._why = why
            self._shut_until = self._clock() + self._open_s

    def _has_answered(self) -> None:
        with self._lock:
            self._failed = 0
