"""The daily profile of a series: 24 hourly means that count only once they predict better than the last hour does."""

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import F64, HOURS, I64, INDEX, Bools, SeriesTable

HOUR_MS = 3_600_000
MEMORY_DAYS = 7
ERROR_RATE = 1 / 48
GAIN_STEP = 0.1


class DayClock:
    """For each reading, its hour of day (UTC) and the two hourly means to interpolate between.

    hour, left, right  int64 (n); weight  float64 (n): share of `right`. Means stand for the middle of their hour.
    """

    __slots__ = ("hour", "left", "right", "weight")

    def __init__(self, ts: I64) -> None:
        into_day = ts % (HOURS * HOUR_MS)
        self.hour: I64 = into_day // HOUR_MS
        shifted = into_day - HOUR_MS // 2
        self.left: I64 = (shifted // HOUR_MS) % HOURS
        self.right: I64 = (self.left + 1) % HOURS
        self.weight: F64 = (shifted % HOUR_MS) / HOUR_MS


def seasonal(table: SeriesTable, slots: I64, gain: F64, middle: F64, left: I64, right: I64, weight: F64) -> F64:
    """What the time of day adds to the level, in the metric's unit (n): 0 while the profile is not believed."""
    low = table.profile[slots, left].astype(np.float64)
    high = table.profile[slots, right].astype(np.float64)
    value: F64 = gain * (low + weight * (high - low) - middle)
    return value


def accumulate(table: SeriesTable, slots: I64, block: F64, x: F64, hour: I64, learn: Bools) -> None:
    """Take readings into their running hourly means, and finished hours into the profile; changes block and table."""
    turned = block[INDEX["hour"]] != hour
    if turned.any():
        _finish_hour(table, slots[turned], block, np.flatnonzero(turned))
        block[INDEX["hour"]][turned] = hour[turned]
        block[INDEX["hour_n"]][turned] = 0.0
    count, mean = block[INDEX["hour_n"]], block[INDEX["hour_mean"]]
    count += learn
    mean += learn * (x - mean) / np.maximum(count, 1.0)


def _finish_hour(table: SeriesTable, slots: I64, block: F64, at: NDArray[np.intp]) -> None:
    filled = block[INDEX["hour_n"]][at] > 0
    slots, at = slots[filled], at[filled]
    if not slots.size:
        return
    part = block[:, at]

    def field(name: str) -> F64:
        view: F64 = part[INDEX[name]]
        return view

    hour, prev = field("hour").astype(np.int64), field("prev_hour").astype(np.int64)
    mean = field("hour_mean")
    new = prev < 0
    field("origin")[new] = mean[new]
    offset = mean - field("origin")
    profile, visits = table.profile, table.visits

    known = ~new & (visits[slots, hour] >= 2) & (visits[slots, prev] >= 2)
    change = mean - field("prev_mean")
    said = profile[slots, hour].astype(np.float64) - profile[slots, prev]
    rate = ERROR_RATE * known
    cap = np.where(field("plain_error") > 0, 6.0 * field("plain_error"), np.inf)
    field("plain_error")[:] += rate * (np.minimum(np.abs(change), cap) - field("plain_error"))
    field("season_error")[:] += rate * (np.minimum(np.abs(change - said), cap) - field("season_error"))
    plain, season = field("plain_error"), field("season_error")
    target = np.clip(1.5 * (1.0 - season / np.maximum(plain, 1e-290)), 0.0, 1.0)
    field("gain")[:] += known * np.clip(target - field("gain"), -GAIN_STEP, GAIN_STEP)

    seen = visits[slots, hour].astype(np.float64)
    old = profile[slots, hour].astype(np.float64)
    updated = old + (offset - old) / np.minimum(seen + 1.0, MEMORY_DAYS)
    profile[slots, hour] = np.clip(updated, -3e38, 3e38)
    visits[slots, hour] = np.minimum(seen + 1.0, 255.0)
    field("middle")[:] += (updated - field("middle")) / HOURS
    field("prev_hour")[:] = hour
    field("prev_mean")[:] = mean
    block[:, at] = part
