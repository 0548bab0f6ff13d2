"""The memory of all series of a shard: one record of 256 bytes per (device, metric), in one array.

A record keeps differences, not values: every level is an offset from `anchor`, so that a counter around 1e12 is known
as exactly in 32 bits as a ratio around 1. The profile of a working day is 24 bfloat16, and a day of rest is told by
how much of that it follows and how far it is off; the tails are counts.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

FIELDS = (
    # Offsets from the anchor; they move when the anchor does.
    "last",  # the previous value
    "fast",  # level over about 3 readings, deseasonalised as all levels but the last
    "near",  # level over tens of readings, of values whose spikes are clipped
    "wide",  # level over hundreds of readings, of the same
    "slow",  # the level that is usual, not learnt from what is flagged
    "smooth",  # level over about 10 readings, with the season: for the joint distance
    "centre",  # usual place of `smooth`
    "hour_mean",  # mean of the hour of day now being averaged
    "prev_mean",  # mean of the hour last averaged
    "origin",  # value that the daily profile is relative to
    # Counts, spreads and shares.
    "n",  # readings learnt from
    "spread",  # mean absolute residual, outliers clipped
    "near_spread",  # usual size of near - slow
    "wide_spread",  # usual size of wide - slow
    "vol_spread",  # usual size of the deviation of the log ratio from `vol`
    "vol",  # usual log ratio of short to long spread
    "short",  # mean absolute residual over about 10 readings
    "step",  # smallest change ever seen: the resolution of the sensor
    "changes",  # changes of value seen
    "repeats",  # exact repeats of the previous value, consecutive
    "longest",  # longest run of exact repeats that ended
    "repeating",  # share of readings that repeat the previous one
    "smoothed",  # smoothed surprise, nats
    "wild",  # consecutive flagged readings
    "gain",  # 0..1: how far the daily profile is believed
    "middle",  # mean of the profile
    "plain_error",  # error of "as the last hour", to judge the profile by
    "season_error",  # error of "as the last hour, plus what the profile says"
    "variance",  # of single readings around `centre`
    "rest_offset",  # how far days of rest are from the mean of the profile
)
INDEX = {name: row for row, name in enumerate(FIELDS)}
OFFSETS = 10  # of FIELDS, the first
HOURS = 24
TAILS = 5  # residual, near shift, wide shift, louder, quieter
BINS = 7
EDGES: F32 = np.float32(0.5) * np.float32(2.0) ** np.arange(BINS, dtype=np.float32)
"""Bounds of the tails, in scales: tail k counts the readings at or beyond EDGES[k]."""
RECORD = np.dtype(
    [
        ("anchor", "<f8"),
        ("fields", "<f4", (len(FIELDS),)),
        ("tails", "<u2", (TAILS * BINS,)),
        ("profile", "<u2", (HOURS,)),
        ("hour", "i1"),  # hour now being averaged (-1: none), those of days of rest from 24 on
        ("prev_hour", "i1"),  # hour last averaged (-1: none)
        ("place", "u1"),  # the how-manieth metric of its device
        ("counted", "<u2"),  # readings counted in the tails; they are halved together when it is full
        ("hours", "u1"),  # hours averaged into the profile, MOST_HOURS at the most
        ("hour_n", "<u2"),  # readings of the hour now being averaged
        ("rest_share", "<i2"),  # how much of the profile days of rest follow, in parts of WHOLE
    ]
)
WHOLE, MOST_HOURS, MOST_COUNTED = 4096, 250, 65_535
UNKNOWN = 0x7FC0  # an hour of day never seen: bfloat16's NaN


def fresh(count: int) -> NDArray[np.void]:
    """Records of series never seen."""
    made: NDArray[np.void] = np.zeros(count, RECORD)
    made["hour"], made["prev_hour"], made["profile"], made["rest_share"] = -1, -1, UNKNOWN, WHOLE
    return made


def taken(records: NDArray[np.void], rows: I64) -> NDArray[np.void]:
    """Copies of these records, whole: a third of the time that numpy takes where it knows of their fields."""
    return records.view(_whole(records.dtype))[rows].view(records.dtype)


def put_back(records: NDArray[np.void], rows: I64, new: NDArray[np.void]) -> None:
    """Put records where these rows are, whole."""
    whole = _whole(records.dtype)
    records.view(whole)[rows] = new.view(whole)


@lru_cache(maxsize=8)
def _whole(kind: np.dtype[np.void]) -> np.dtype[np.void]:
    """A kind of record without its fields."""
    return np.dtype((np.void, kind.itemsize))


@lru_cache(maxsize=256)
def constant(x: float) -> F32:
    """A float32 without dimensions: with a short array it costs half of what a number does."""
    made = np.array(x, np.float32)
    made.setflags(write=False)
    return made


def between(x: NDArray[Any], low: Any, high: Any) -> NDArray[Any]:  # noqa: ANN401 - as np.clip
    """What np.clip does, in a quarter of the time for short arrays."""
    bounded: NDArray[Any] = np.minimum(np.maximum(x, low), high)
    return bounded


def from_bfloat(half: NDArray[np.uint16]) -> F32:
    """The float32 that a bfloat16 stands for."""
    return (half.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat(x: F32) -> NDArray[np.uint16]:
    """The nearest bfloat16 of finite numbers."""
    return ((np.ascontiguousarray(x, np.float32).view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype(
        np.uint16
    )
