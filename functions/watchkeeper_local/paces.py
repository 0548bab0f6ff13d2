"""Each device at its pace: what comes too fast waits its turn, in its order, and nothing is dropped."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
BURST_S = 1.0  # what a device may send at once: as much as in this time
MOST_DEVICES = 100_000


class Paces(Generic[Item]):
    """Token buckets per device, with a queue before each. For one thread."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second` messages of each device; `clock` in seconds."""
        self._rate, self._clock = per_second, clock
        self._burst = max(1.0, per_second * BURST_S)
        self._tokens: dict[str, tuple[float, float]] = {}
        self._waiting: dict[str, deque[Item]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def put(self, device: str, item: Item) -> None:
        """Behind what the device has sent before."""
        self._waiting.setdefault(device, deque()).append(item)

    def due(self, most: int) -> list[Item]:
        """Those whose turn it is, up to so many; each device's in order."""
        now = self._clock()
        found: list[Item] = []
        for device, waiting in list(self._waiting.items()):
            tokens, since = self._tokens.pop(device, (self._burst, now))
            tokens = min(tokens + (now - since) * self._rate, self._burst)
            while waiting and tokens >= 1 and len(found) < most:
                found.append(waiting.popleft())
                tokens -= 1
            self._tokens[device] = (tokens, now)
            if not waiting:
                del self._waiting[device]
        while len(self._tokens) > MOST_DEVICES:  # of one that was quiet longest, whose bucket is full again
            del self._tokens[next(iter(self._tokens))]
        return found
