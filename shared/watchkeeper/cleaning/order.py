"""Where each reading stands in its device's time, for a whole column at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.packs import Bools, Ints

# Devices are told apart in one running maximum by shifting their times; more than the year 2200 in ms.
_APART = 10_000_000_000_000


class Order(NamedTuple):
    """For each reading, what its device's newest time was just before it (0: none), epoch ms.

    `by` are the rows device by device, each device's in their order; in it devices begin at `begins`.
    """

    before: Ints
    by: NDArray[np.intp]
    begins: NDArray[np.intp]

    def not_newer(self, ts: Ints) -> Bools:
        """Readings that are not newer than all before them: only these can be repetitions."""
        return ts <= self.before

    def late(self, ts: Ints, tolerance: Ints) -> Bools:
        """Readings older than what their device had sent, by more than the tolerance (ms)."""
        return ts < self.before - tolerance

    def gaps(self, ts: Ints, limit: Ints) -> Bools:
        """Readings that come more than the limit (ms) after the one before."""
        return (self.before > 0) & (ts - self.before > limit)


def order_of(device: Ints, ts: Ints, newest: Ints) -> Order:
    """Follow each device's newest time through a column.

    `device` (n,) is an index into `newest` (devices,), the newest times before this column.
    """
    by = np.argsort(device, kind="stable")
    d, t = device[by], ts[by]
    first = np.ones(len(t), bool)
    np.not_equal(d[1:], d[:-1], out=first[1:])
    shift = np.cumsum(first) * _APART
    known = newest[d]
    running = np.maximum.accumulate(np.maximum(t, known) + shift) - shift
    before = known.copy()
    inner = np.flatnonzero(~first)
    before[inner] = running[inner - 1]
    result = np.empty_like(before)
    result[by] = before
    return Order(result, by, np.flatnonzero(first))
