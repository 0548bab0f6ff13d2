"""The memory of all series of a shard: one slot per (device, metric), held as a struct of arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

FIELDS = (
    "n",  # readings learnt from
    "last",  # the previous value
    "fast",  # level over about 8 readings, deseasonalised
    "slow",  # level over about 256 readings, deseasonalised
    "spread",  # mean absolute residual, outliers clipped
    "short",  # mean absolute residual over about 16 readings
    "drift",  # usual distance of the fast level from the slow one: the trend times the lag between them
    "drift_spread",
    "vol",  # usual log ratio of short to long spread
    "vol_spread",
    "outside",  # consecutive residuals beyond the clip
    "wild",  # consecutive readings beyond the gate: flagged, so not learnt from
    "step",  # smallest change ever seen: the resolution of the sensor
    "changes",  # changes of value seen
    "repeats",  # exact repeats of the previous value, consecutive
    "longest",  # longest run of exact repeats that ended
    "repeating",  # share of readings that repeat the previous one
    "smoothed",  # smoothed surprise above the tolerance, nats
    "gain",  # 0..1: how far the daily profile is believed
    "hour",  # hour of day now being averaged (-1: none)
    "hour_n",
    "hour_mean",
    "prev_hour",  # hour of day last averaged (-1: none)
    "prev_mean",
    "plain_error",  # error of "as the last hour", to judge the profile by
    "season_error",  # error of "as the last hour, plus what the profile says"
    "origin",  # value the profile is relative to
    "middle",  # mean of the profile
)
INDEX = {name: row for row, name in enumerate(FIELDS)}
HOURS = 24
TAILS = 3  # residual, shift, volatility
EDGES: F64 = np.concatenate(([0.0], 2.0 ** np.linspace(0.0, 6.0, 16), [np.inf]))
"""Bounds of the tail counts, in scales: count k is of the readings at or beyond EDGES[k]."""

_FRESH = np.zeros(len(FIELDS))
_FRESH[[INDEX["hour"], INDEX["prev_hour"]]] = -1.0


class SeriesTable:
    """Arrays with a slot per series; `num` is (fields, slots) so that a field of many series is contiguous.

    profile  float32 (slots, 24)    mean of each hour of day, relative to `origin`
    visits   uint8   (slots, 24)    days that hour has been seen, up to 255
    counts   uint16  (slots, 3, 18) readings at or beyond each bound of EDGES, per tail; halved when full
    """

    __slots__ = ("counts", "num", "profile", "size", "visits")

    def __init__(self, capacity: int = 0) -> None:
        self.size = capacity
        self.num: F64 = np.repeat(_FRESH[:, None], capacity, axis=1)
        self.profile: NDArray[np.float32] = np.zeros((capacity, HOURS), np.float32)
        self.visits: NDArray[np.uint8] = np.zeros((capacity, HOURS), np.uint8)
        self.counts: NDArray[np.uint16] = np.zeros((capacity, TAILS, EDGES.size), np.uint16)

    def add(self, count: int) -> int:
        """Make `count` fresh slots and return the first; amortised O(1) a slot."""
        first, self.size = self.size, self.size + count
        if self.size > self.num.shape[1]:
            grown = SeriesTable(max(self.size, 2 * first, 16))
            grown.num[:, :first] = self.num[:, :first]
            for name in ("profile", "visits", "counts"):
                getattr(grown, name)[:first] = getattr(self, name)[:first]
            self.num, self.profile, self.visits, self.counts = grown.num, grown.profile, grown.visits, grown.counts
        return first

    def arrays(self, slots: I64) -> tuple[NDArray[Any], ...]:
        """Copies of the arrays for these slots, in this order; `from_arrays` takes them back."""
        return self.num[:, slots], self.profile[slots], self.visits[slots], self.counts[slots]

    @staticmethod
    def layout(size: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Little-endian dtype and shape of each array of `arrays` for a number of slots."""
        return (
            ("<f8", (len(FIELDS), size)),
            ("<f4", (size, HOURS)),
            ("|u1", (size, HOURS)),
            ("<u2", (size, TAILS, EDGES.size)),
        )

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[Any]]) -> "SeriesTable":
        table = cls(0)
        table.size = int(arrays[0].shape[1])
        table.num, table.profile, table.visits, table.counts = arrays
        return table
