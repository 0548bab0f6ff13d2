"""The daily profile of a series: 24 hourly means that count only once they predict better than the last hour does.

The profile is that of working days. A day of rest follows it by a share and an offset, learnt by normalised least mean
squares (Widrow and Hoff, 1960) from its own hours: a closed office is flat on Sundays, a shop open at half the rate has
half the hump, and neither takes more than two numbers. As far as days of rest are like the others, the profile learns
from them too. Hours are those of the device's own clocks.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import (
    F32,
    HOURS,
    I64,
    INDEX,
    MOST_COUNTED,
    MOST_HOURS,
    WHOLE,
    Bools,
    between,
    from_bfloat,
    to_bfloat,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MEMORY_DAYS = 7
ERROR_RATE = 1 / 36
GAIN_STEP = 0.1
REST_RATE, WEEK = np.float32(1 / 24), 7 * HOURS
"""How fast the share and the offset of days of rest are learnt, by the hour, once a week of hours is in the profile."""


class LocalTime(NamedTuple):
    """Of each reading: epoch ms by the clocks of its device, int64 (n), and whether that is a day of rest, bool (n)."""

    ms: I64
    resting: Bools


class Clock(NamedTuple):
    """Of each reading: epoch ms by the clocks of its device, int64 (n), and its hour of day as records have it.

    slot  int8 (n): the hours of days of rest from HOURS on
    """

    ms: I64
    slot: NDArray[np.int8]


def utc(ts: I64) -> LocalTime:
    """The time of readings whose device is in no known time zone: UTC, with rest on Saturdays and Sundays."""
    return LocalTime(ts, (ts // DAY_MS + 3) % 7 >= 5)  # 1970-01-01 was a Thursday


def clock_of(local: LocalTime) -> Clock:
    """The clock that reads so."""
    return Clock(local.ms, (local.ms // HOUR_MS % HOURS + HOURS * local.resting).astype(np.int8))


_WEEK_OF_UTC = clock_of(utc(np.arange(7 * HOURS) * HOUR_MS)).slot


def utc_clock(ts: I64) -> Clock:
    """The clock of `utc`, read from a table: its weeks are alike."""
    return Clock(ts, _WEEK_OF_UTC.take(ts // HOUR_MS % _WEEK_OF_UTC.size))


def seasonal(records: NDArray[np.void], block: F32, clock: Clock, rows: I64) -> F32:
    """What the time of day adds to the level, in the metric's unit (n): 0 while the profile is not believed.

    Means stand for the middle of their hour, and between two of them it runs straight. rows (n): into the clock
    """
    gain = block[INDEX["gain"]]
    out = np.zeros(gain.size, np.float32)
    some = np.flatnonzero(gain > 0)
    rows = rows[some]
    shifted = clock.ms[rows] - HOUR_MS // 2
    left = shifted // HOUR_MS % HOURS
    weight = (shifted % HOUR_MS / HOUR_MS).astype(np.float32)
    profile = records["profile"]
    low, high = from_bfloat(profile[some, left]), from_bfloat(profile[some, (left + 1) % HOURS])
    value = low + weight * (high - low) - block[INDEX["middle"], some]
    value = gain[some] * _on_its_day(value, records[some], block[:, some], clock.slot[rows] >= HOURS)
    out[some] = np.where(np.isfinite(value), value, np.float32(0.0))
    return out


def accumulate(records: NDArray[np.void], block: F32, x: F32, slot: NDArray[np.int8], learn: Bools | None) -> None:
    """Take readings into their running hourly means, and finished hours into the profile; changes both in place.

    records (n) of the series, block float32 (fields, n) their fields, x float32 (n) offsets from their anchors,
    slot (n) as a Clock's; learn (n): those to take in; None: all
    """
    other = records["hour"] != slot
    if np.count_nonzero(other):
        turned = np.flatnonzero(other)
        _finish_hour(records, block, turned)
        records["hour"][turned] = slot[turned]
        records["hour_n"][turned] = 0
    count, mean = records["hour_n"], block[INDEX["hour_mean"]]
    more, change = count < MOST_COUNTED, x - mean
    if learn is not None:
        more &= learn
        change *= learn
    count += more
    change /= count if learn is None else np.maximum(count, 1)
    mean += change


def _on_its_day(value: F32, records: NDArray[np.void], block: F32, resting: Bools) -> F32:
    """What the profile says relative to its mean (n), as it is on a working day or a day of rest."""
    if not np.count_nonzero(resting):
        return value
    share = records["rest_share"].astype(np.float32) / np.float32(WHOLE)
    return np.where(resting, share * value + block[INDEX["rest_offset"]], value)


def _finish_hour(records: NDArray[np.void], block: F32, turned: NDArray[np.intp]) -> None:
    at = turned[records["hour_n"][turned] > 0]
    if not at.size:
        return
    own, part = records[at], block[:, at]

    def field(name: str) -> F32:
        view: F32 = part[INDEX[name]]
        return view

    slot, prev = own["hour"].astype(np.int64), own["prev_hour"].astype(np.int64)
    hour, rest = slot % HOURS, slot >= HOURS
    mean = field("hour_mean")
    new = prev < 0
    field("origin")[new] = mean[new]
    offset = mean - field("origin")
    profile = own["profile"]
    rows = np.arange(at.size)
    old, before = from_bfloat(profile[rows, hour]), from_bfloat(profile[rows, prev % HOURS])
    known = ~new & np.isfinite(old) & np.isfinite(before)

    change = mean - field("prev_mean")
    usual = old - field("middle")
    now = _on_its_day(usual, own, part, rest)
    then = _on_its_day(before - field("middle"), own, part, prev >= HOURS)
    said = np.where(known, now - then, np.float32(0.0))
    rate = np.float32(ERROR_RATE) * known
    cap = np.where(field("plain_error") > 0, 6.0 * field("plain_error"), np.float32(np.inf))
    field("plain_error")[:] += rate * (np.minimum(np.abs(change), cap) - field("plain_error"))
    field("season_error")[:] += rate * (np.minimum(np.abs(change - said), cap) - field("season_error"))
    plain, season = field("plain_error"), field("season_error")
    target = np.clip(1.5 * (1.0 - season / np.maximum(plain, np.float32(1e-30))), 0.0, 1.0)
    field("gain")[:] += known * np.clip(target - field("gain"), -GAIN_STEP, GAIN_STEP)

    every = from_bfloat(profile)
    told = rest & np.isfinite(old) & (own["hours"] >= WEEK)
    if np.count_nonzero(told):
        missed = np.where(told, offset - field("middle") - now, np.float32(0.0))
        _learn_rest(own, part, missed, np.where(told, usual, np.float32(0.0)), every)
    alike = between(own["rest_share"] / WHOLE, 0.0, 1.0)
    pace = np.where(rest, np.square(alike), 1.0) / np.minimum(np.floor(own["hours"] / HOURS) + 1.0, MEMORY_DAYS)
    usual_day = offset - rest * field("rest_offset")
    updated = np.where(np.isfinite(old), old + pace * (usual_day - old), usual_day)
    profile[rows, hour] = to_bfloat(np.clip(updated, -1e38, 1e38).astype(np.float32))
    every = from_bfloat(profile)
    seen = np.isfinite(every)
    field("middle")[:] = np.where(seen, every, np.float32(0.0)).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    own["hours"] = np.minimum(own["hours"] + 1, MOST_HOURS)
    field("prev_mean")[:] = mean
    own["prev_hour"] = slot
    records[at] = own
    block[:, at] = part


def _learn_rest(own: NDArray[np.void], part: F32, missed: F32, usual: F32, every: F32) -> None:
    """Move the share and the offset of days of rest by what they missed (n), at hours that are usually so (n)."""
    away = np.where(np.isfinite(every), every - part[INDEX["middle"]][:, None], np.float32(0.0))
    power = np.maximum(np.square(away).mean(axis=1), np.square(usual)) + np.float32(1e-30)
    step = REST_RATE * missed
    part[INDEX["rest_offset"]] = between(part[INDEX["rest_offset"]] + step, -1e17, 1e17)
    share = own["rest_share"] / WHOLE + step * usual / power
    own["rest_share"] = np.rint(between(share, -4.0, 4.0) * WHOLE)
