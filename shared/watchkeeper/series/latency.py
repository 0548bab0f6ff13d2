"""How long readings took from accepted to stored, as counts that can be added up.

`latency_le_{ms}` is the number of readings that took at most so many milliseconds, as in a Prometheus histogram.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.packs import Ints

BOUNDS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000)
NAMES = tuple(f"latency_le_{bound}" for bound in (*BOUNDS, "inf"))


def latency_counts(latency: Ints) -> Counter[str]:
    """The counts of some latencies in milliseconds; none where there are none."""
    if not len(latency):
        return Counter()
    buckets = np.bincount(np.searchsorted(BOUNDS, latency), minlength=len(NAMES))
    return Counter(dict(zip(NAMES, np.cumsum(buckets).tolist(), strict=True)))


def percentile(counts: Mapping[str, float], q: float) -> float | None:
    """The latency in ms that a share `q` (0 to 1) of the readings did not exceed; None: nothing was counted.

    Interpolated within its bucket; what took longer than the last bound is answered as that bound.
    """
    below = [counts.get(name, 0.0) for name in NAMES]
    wanted = q * below[-1]
    if not below[-1]:
        return None
    low, before = 0.0, 0.0
    for bound, count in zip(BOUNDS, below, strict=False):
        if count >= wanted and count > before:
            return low + (bound - low) * (wanted - before) / (count - before)
        low, before = float(bound), count
    return float(BOUNDS[-1])
