"""The past of the demo's devices, sent through the same pipeline first, so that nothing is still warming up."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from watchkeeper_local.node import clock
from watchkeeper_local.sources.host import host_history
from watchkeeper_local.sources.send import open_sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchkeeper_local.demo.live import Live
    from watchkeeper_local.sources.reading import SourceReading

DAYS = 2
COARSE_MS, FINE_MS = 600_000, 2_000
FINE_FOR_MS = 20 * 60_000


def send_past(url: str, live: Live, drain: Callable[[], None], *, settle_s: float) -> int:
    """Two days of all devices, coarse at first and fine at the end; answers how many readings.

    The host's past is made up from samples of its present, taken when the pipeline has taken in the fleet's.
    """
    now = clock()
    begin, fine = now - DAYS * 86_400_000, now - FINE_FOR_MS
    with open_sender(url) as sender:
        sent = sender.send(_stretches(live, begin, fine, now)).accepted
        drain()
        until = time.monotonic() + settle_s
        sample = live.host.sample(clock())
        while time.monotonic() < until:
            time.sleep(1.0)
            sample = live.host.sample(clock())
        end = clock()
        coarse = host_history(sample, begin, fine, COARSE_MS, live.seed).readings()
        recent = host_history(sample, fine, end, FINE_MS, live.seed + 1).readings()
        sent += sender.send(itertools.chain(coarse, recent)).accepted
    drain()
    return sent


def _stretches(live: Live, begin: int, fine: int, end: int) -> Iterator[SourceReading]:
    yield from live.fleet.history(begin, fine, COARSE_MS).readings()
    yield from live.fleet.history(fine, end, FINE_MS).readings()
