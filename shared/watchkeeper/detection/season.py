"""The daily profile of a series: 24 hourly means that count only once they predict better than the last hour does."""

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import F32, HOURS, I64, INDEX, Bools, from_bfloat, to_bfloat

HOUR_MS = 3_600_000
MEMORY_DAYS = 7
ERROR_RATE = 1 / 36
GAIN_STEP = 0.1


class DayClock:
    """For each reading its hour of day, UTC: int64 (n)."""

    __slots__ = ("_into_day", "hour")

    def __init__(self, ts: I64) -> None:
        self._into_day: I64 = ts % (HOURS * HOUR_MS)
        self.hour: I64 = self._into_day // HOUR_MS

    def between(self, some: NDArray[np.intp]) -> tuple[I64, I64, F32]:
        """The two hourly means that some of the readings lie between, and the share of the second.

        Means stand for the middle of their hour.
        """
        shifted = self._into_day[some] - HOUR_MS // 2
        left = (shifted // HOUR_MS) % HOURS
        return left, (left + 1) % HOURS, ((shifted % HOUR_MS) / HOUR_MS).astype(np.float32)


def seasonal(records: NDArray[np.void], gain: F32, middle: F32, clock: DayClock) -> F32:
    """What the time of day adds to the level, in the metric's unit (n): 0 while the profile is not believed."""
    out = np.zeros(gain.size, np.float32)
    some = np.flatnonzero(gain > 0)
    profile = records["profile"]
    left, right, weight = clock.between(some)
    low, high = from_bfloat(profile[some, left]), from_bfloat(profile[some, right])
    value = gain[some] * (low + weight * (high - low) - middle[some])
    out[some] = np.where(np.isfinite(value), value, np.float32(0.0))
    return out


def accumulate(records: NDArray[np.void], block: F32, x: F32, hour: I64, learn: Bools) -> None:
    """Take readings into their running hourly means, and finished hours into the profile; changes both in place.

    records (n) of the series, block float32 (fields, n) their fields, x float32 (n) offsets from their anchors
    """
    other = records["hour"] != hour
    if np.count_nonzero(other):
        turned = np.flatnonzero(other)
        _finish_hour(records, block, turned)
        records["hour"][turned] = hour[turned]
        block[INDEX["hour_n"], turned] = 0.0
    count, mean = block[INDEX["hour_n"]], block[INDEX["hour_mean"]]
    count += learn
    mean += learn * (x - mean) / np.maximum(count, np.float32(1.0))


def _finish_hour(records: NDArray[np.void], block: F32, turned: NDArray[np.intp]) -> None:
    at = turned[block[INDEX["hour_n"], turned] > 0]
    if not at.size:
        return
    part = block[:, at]

    def field(name: str) -> F32:
        view: F32 = part[INDEX[name]]
        return view

    hour, prev = records["hour"][at].astype(np.int64), records["prev_hour"][at].astype(np.int64)
    mean = field("hour_mean")
    new = prev < 0
    field("origin")[new] = mean[new]
    offset = mean - field("origin")
    profile = records["profile"][at]
    rows = np.arange(at.size)
    old, before = from_bfloat(profile[rows, hour]), from_bfloat(profile[rows, prev])
    known = ~new & np.isfinite(old) & np.isfinite(before)

    change = mean - field("prev_mean")
    said = np.where(known, old - before, np.float32(0.0))
    rate = np.float32(ERROR_RATE) * known
    cap = np.where(field("plain_error") > 0, 6.0 * field("plain_error"), np.float32(np.inf))
    field("plain_error")[:] += rate * (np.minimum(np.abs(change), cap) - field("plain_error"))
    field("season_error")[:] += rate * (np.minimum(np.abs(change - said), cap) - field("season_error"))
    plain, season = field("plain_error"), field("season_error")
    target = np.clip(1.5 * (1.0 - season / np.maximum(plain, np.float32(1e-30))), 0.0, 1.0)
    field("gain")[:] += known * np.clip(target - field("gain"), -GAIN_STEP, GAIN_STEP)

    days = np.minimum(np.floor(field("hours") / HOURS) + 1.0, MEMORY_DAYS)
    updated = np.where(np.isfinite(old), old + (offset - old) / days, offset)
    profile[rows, hour] = to_bfloat(np.clip(updated, -1e38, 1e38).astype(np.float32))
    records["profile"][at] = profile
    every = from_bfloat(profile)
    seen = np.isfinite(every)
    field("middle")[:] = np.where(seen, every, np.float32(0.0)).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    field("hours")[:] += 1.0
    field("prev_mean")[:] = mean
    records["prev_hour"][at] = hour
    block[:, at] = part
