"""The trends of series, learnt one reading at a time in O(1): a record of 320 bytes each, in one array.

Readings are averaged over blocks of a minute, minutes over blocks of a quarter of an hour, these over blocks of six
hours. Of the increments from block to block (less what the time of day says) each scale keeps an exponentially
weighted mean, variance and first autocovariance: a random walk with drift (Harvey, Forecasting, structural time series
models and the Kalman filter, 1989, ch. 2), of which `outlook` says whether there is a drift at all.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from watchkeeper.packs import Floats, Ints

MAGIC = b"WKT1"
MINUTE_MS = 60_000
SCALES = 3
MINUTES = (1, 15, 360)
"""How long a block of each scale is, in minutes."""
RATIOS = (15, 24)
"""Blocks of a scale in one of the next."""
RATE, QUICK, MOST_N = 0.1, 0.25, 19
"""Weights of the newest increment in their mean and in the quick one; increments that the mean is worth at most."""
LONGEST_GAP = 3
"""Blocks of a scale further apart than this have no increment between them: its trend begins anew."""
MOST = 1e15
"""Values further from zero are not followed: the squares of their increments would be of no use."""
HOURS, DAY_BLOCKS, DAYS = 24, 96, 7
"""Of the profile of the day: its hours, the blocks of the middle scale in it, the days that it remembers."""
GIVEN_BACK = 0.5
"""A rise is over when half of it is given back."""
LAST_MINUTE = 2**31 - 1

SERIES = np.dtype(
    [
        ("at", "<i4", (SCALES,)),  # the open block of each scale, counted from the epoch; -1: none
        ("last_at", "<i4", (SCALES,)),  # the last one that ended; -1: none
        ("count", "<f4", (SCALES,)),  # readings, or blocks of the scale below, in the open block
        ("n", "<f4", (SCALES,)),  # increments that the statistics below are worth
        ("quick", "<f4", (SCALES,)),  # the mean increment of late
        ("error", "<f4", (SCALES,)),  # the last increment, less the mean before it
        ("covariance", "<f4", (SCALES,)),
        ("sum", "<f8", (SCALES,)),
        ("last", "<f8", (SCALES,)),  # the mean of the last block that ended
        ("mean", "<f8", (SCALES,)),
        ("variance", "<f8", (SCALES,)),
        ("least", "<f8"),  # of the readings of the open minute
        ("most", "<f8"),
        ("run", "<f4", (4,)),  # where the rise at hand began and has come to; the fall likewise, mirrored
        ("reach", "<f4", (2,)),  # how far rises, and falls, that were given back again had gone
        ("season", "<f4", (HOURS,)),  # the mean increment of the middle scale in each hour of the day, UTC
        ("seen", "<f4"),  # increments that the season is learnt from
    ]
)


class Ended(msgspec.Struct, frozen=True):
    """Series whose minute has ended, by metric (row) and reading (column); the least and most of that minute."""

    series: Ints
    metric: Ints
    reading: Ints
    least: Floats
    most: Floats


class Trends:
    """The records of the series of a shard, by number; who they belong to is for the caller to know."""

    def __init__(self, records: NDArray[np.void] | None = None) -> None:
        """Begin with these records, or none."""
        self.records: NDArray[np.void] = np.zeros(0, SERIES) if records is None else records
        self.used = self.records.size

    def add(self) -> int:
        """The number of a new series."""
        if self.used == self.records.size:
            grown = np.zeros(max(32, 2 * self.used), SERIES)
            grown[: self.used] = self.records
            grown["at"][self.used :] = grown["last_at"][self.used :] = -1
            self.records = grown
        self.used += 1
        return self.used - 1

    def learn(self, owner: Ints, ts: Ints, series: Ints, values: Floats) -> Iterator[Ended]:
        """Take readings of devices, those of one in the order in which they came; the result is the same however cut.

        owner (n): whose; ts (n): epoch ms; series (m, n): the number of each value's series; values (m, n), NaN where
        absent. Yields as minutes end, while only what came before has been learnt.
        """
        minute = np.minimum(np.maximum(ts // MINUTE_MS, 0), LAST_MINUTE)
        turn = _turns(owner, minute)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            good = np.abs(values) < MOST
            for number in range(int(turn.max(initial=-1)) + 1):
                of, reading = np.nonzero(good if not turn.any() else good & (turn == number))
                if len(reading):
                    ended = self._take(series[of, reading], minute[reading], values[of, reading], of, reading)
                    if len(ended.series):
                        yield ended

    def _take(self, series: Ints, minute: Ints, values: Floats, of: Ints, reading: Ints) -> Ended:
        """Readings of one minute for each series."""
        held = self.records
        at = held["at"][series, 0]
        over = (at < minute) & (held["count"][series, 0] > 0)
        if over.any():
            own, first = np.unique(series[over], return_index=True)
            ended = Ended(own, of[over][first], reading[over][first], held["least"][own], held["most"][own])
            self._end(own, 0)
        else:
            ended = Ended(series[:0], of[:0], reading[:0], values[:0], values[:0])
        fresh = series[held["count"][series, 0] == 0]
        held["least"][fresh], held["most"][fresh] = np.inf, -np.inf
        held["at"][series, 0] = np.maximum(at, minute)
        held["count"][:, 0] += np.bincount(series, minlength=held.size).astype(np.float32)
        for column, gather in ((held["sum"][:, 0], np.add), (held["least"], np.minimum), (held["most"], np.maximum)):
            whole = np.ascontiguousarray(column)  # one after the other, and fast only where nothing lies between
            gather.at(whole, series, values)
            column[:] = whole
        return ended

    def _end(self, own: Ints, scale: int) -> None:
        """The open blocks of these series are over: learn their increments, and pass them on to the next scale."""
        held = self.records
        part = held[own]
        at, level = part["at"][:, scale].copy(), part["sum"][:, scale] / part["count"][:, scale]
        gap = at - part["last_at"][:, scale]
        follows = (part["last_at"][:, scale] >= 0) & (gap >= 1) & (gap <= LONGEST_GAP)
        step = (level - part["last"][:, scale]) / np.maximum(gap, 1)
        length = MINUTES[scale]
        season = seasonal(part, (at - gap + 0.5) * length, (at + 0.5) * length) / np.maximum(gap, 1)
        _learn_increment(part, scale, np.where(follows, step - season, 0.0), follows)
        if scale == 0:
            _follow_runs(part, level.astype(np.float32))
        elif scale == 1:
            _learn_season(part, at, step, follows)
        part["last"][:, scale], part["last_at"][:, scale] = level, at
        part["sum"][:, scale] = part["count"][:, scale] = 0
        held[own] = part
        if scale + 1 == SCALES:
            return
        upper = at // RATIOS[scale]
        over = (held["at"][own, scale + 1] != upper) & (held["count"][own, scale + 1] > 0)
        if over.any():
            self._end(own[over], scale + 1)
        held["at"][own, scale + 1] = upper
        held["sum"][own, scale + 1] += level
        held["count"][own, scale + 1] += 1

    def encode(self) -> bytes:
        """Bytes: what they are and their version (`WKT1`), the CRC-32 of the rest, the records, little-endian."""
        body = self.records[: self.used].view(np.uint8).data  # not copied until it is joined
        return b"".join((MAGIC, zlib.crc32(body).to_bytes(4, "little"), body))

    @classmethod
    def decode(cls, data: bytes) -> Trends:
        """The records in bytes; none in none. StateError: they are damaged, or of another version."""
        if not data:
            return cls()
        body = data[8:]
        if data[:4] != MAGIC or zlib.crc32(body).to_bytes(4, "little") != data[4:8] or len(body) % SERIES.itemsize:
            message = f"trends begin with {data[:4]!r} or do not match their checksum: they are learnt anew"
            raise StateError(message)
        return cls(np.frombuffer(body, SERIES).copy())


def season_known(part: NDArray[np.void]) -> NDArray[np.bool_]:
    """Have these series been seen for two days without many holes?"""
    return np.asarray(part["seen"] >= 2 * DAY_BLOCKS - 4)


def seasonal(part: NDArray[np.void], start: Floats, end: Floats) -> Floats:
    """What the time of day adds from `start` to `end`, minutes since the epoch, to each series (n); 0 while unknown."""
    known = season_known(part)
    if not known.any():
        return np.zeros(len(part))
    profile = part["season"].astype(np.float64) * (60 / MINUTES[1])
    profile -= profile.mean(axis=1, keepdims=True)
    sums = np.concatenate([np.zeros((len(part), 1)), np.cumsum(profile, axis=1)], axis=1)

    def upto(minutes: Floats) -> Floats:
        hour = np.remainder(minutes / 60, HOURS)
        whole = np.minimum(hour.astype(np.int64), HOURS - 1)
        rows = np.arange(len(part))
        found: Floats = sums[rows, whole] + (hour - whole) * profile[rows, whole]
        return found

    return np.where(known, upto(end) - upto(start), 0.0)


def _learn_increment(part: NDArray[np.void], scale: int, step: Floats, follows: NDArray[np.bool_]) -> None:
    n = np.where(follows, part["n"][:, scale], 0)
    first = n == 0
    mean, variance = part["mean"][:, scale], part["variance"][:, scale]
    rate = np.maximum(1 / (n + 1), RATE)
    error = np.where(first, 0.0, step - mean)
    part["mean"][:, scale] = np.where(follows, np.where(first, step, mean + rate * error), 0.0)
    part["variance"][:, scale] = np.where(follows & ~first, (1 - rate) * (variance + rate * error**2), 0.0)
    both = part["covariance"][:, scale] + rate * error * part["error"][:, scale]
    part["covariance"][:, scale] = np.where(follows & ~first, (1 - rate) * both, 0.0)
    quick = part["quick"][:, scale]
    part["quick"][:, scale] = np.where(follows, np.where(first, step, quick + QUICK * (step - quick)), 0.0)
    part["error"][:, scale] = error
    part["n"][:, scale] = np.where(follows, np.minimum(n + 1, MOST_N), 0)


def _follow_runs(part: NDArray[np.void], level: NDArray[np.float32]) -> None:
    """How far the value has gone without coming back, and how far it had gone before it did."""
    new = part["last_at"][:, 0] < 0
    for way, sign in ((0, np.float32(1)), (1, np.float32(-1))):
        value = sign * level
        low = np.where(new, value, np.minimum(part["run"][:, 2 * way], value))
        high = np.where(new, value, np.maximum(part["run"][:, 2 * way + 1], value))
        # A new low begins anew, and so does what gives back half of the rise.
        over = (value < high - GIVEN_BACK * (high - low)) & (high > low)
        gone = high - np.where(new, value, part["run"][:, 2 * way])
        reach = part["reach"][:, way]
        kept = np.maximum(gone, np.float32(0.95) * reach + np.float32(0.05) * gone)
        part["reach"][:, way] = np.where(over, kept, reach)
        part["run"][:, 2 * way], part["run"][:, 2 * way + 1] = np.where(over, value, low), np.where(over, value, high)


def _learn_season(part: NDArray[np.void], at: Ints, step: Floats, follows: NDArray[np.bool_]) -> None:
    hour = at // (60 // MINUTES[1]) % HOURS
    rows = np.arange(len(part))
    days = np.minimum(np.floor(part["seen"] / DAY_BLOCKS) * 4 + 4, DAYS * 4)
    old = part["season"][rows, hour]
    part["season"][rows, hour] = old + follows * (step - old) / days
    part["seen"] += follows


def _turns(owner: Ints, minute: Ints) -> Ints:
    """How many minutes of the same owner come before each reading's, in the order given."""
    n = len(owner)
    if not n:
        return np.zeros(0, np.int64)
    order = np.argsort(owner, kind="stable")
    own, of = owner[order], minute[order]
    begins = np.concatenate([[True], own[1:] != own[:-1]])
    number = np.cumsum(begins | np.concatenate([[True], of[1:] != of[:-1]]))
    turn = np.empty(n, np.int64)
    turn[order] = number - np.maximum.accumulate(np.where(begins, number, 0))
    return turn
