"""Looking back: how far a value has changed over a window, and how long it has not moved; over all devices at once.

Rows are those of many devices, sorted by slot, those of one in the order in which they came. What is remembered is
bounded (a dozen samples a device for a change, one for stillness), and the result is the same however the rows are
cut into batches.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.checking.state import Samples
from watchkeeper.packs import Bools, Floats, Ints

GRAIN = 8  # a window is remembered by the first reading of each eighth of it


def changes(held: Samples, new: Samples, window: int) -> tuple[Floats, Samples]:
    """How far each new value has changed in `window` ms, and what to remember.

    The slope is taken against the latest remembered reading that is at least the window and at most two windows
    older; NaN where there is none, and for a reading older than an eighth of the window that was there before it.
    """
    others, rows, own = _together(held, new)
    if not len(rows.slot):
        return np.empty(0), others
    grain = max(window // GRAIN, 1)
    part, bucket = _parts(rows.slot), rows.ts // grain
    key = _key(part, bucket - bucket.min())
    reached = np.maximum.accumulate(key)
    first = np.concatenate([[True], key[1:] > reached[:-1]])
    time = part * (int(np.ptp(rows.ts)) + 2 * window + 2) + rows.ts - rows.ts.min()
    kept, kept_part, kept_time = rows.where(first), part[first], time[first]

    before = np.searchsorted(kept_time, time - window, side="right") - 1
    there = (before >= 0) & (key == reached)
    there &= (kept_part[before] == part) & (kept.ts[before] >= rows.ts - 2 * window)
    slope = (rows.value - kept.value[before]) / np.where(there, rows.ts - kept.ts[before], 1)
    found = np.full(len(new.slot), np.nan)
    found[own[own >= 0]] = np.where(there, slope * window, np.nan)[own >= 0]

    last = np.flatnonzero(np.concatenate([kept_part[1:] != kept_part[:-1], [True]]))
    oldest = kept_time[last] - kept.ts[last] % grain - window  # as seen from the earliest reading still to come
    begin = np.maximum(np.searchsorted(kept_time, oldest, side="right") - 1, np.concatenate([[0], last[:-1] + 1]))
    keep = np.arange(len(kept_part)) >= np.repeat(begin, np.diff(np.concatenate([[-1], last])))
    return found, others.and_also(kept.where(keep))


def stillness(held: Samples, new: Samples, tolerance: float, longest: int) -> tuple[Ints, Samples]:
    """For how many ms each new value has been within `tolerance` of where it came to rest, and what to remember.

    A value that is further from there has moved, and rests where it is now. What is less than `longest` ms may be
    told as more than it is, but still as less than `longest`.
    """
    others, rows, own = _together(held, new)
    if not len(rows.slot):
        return np.empty(0, np.int64), others
    part = _parts(rows.slot)
    begins = np.concatenate([[True], part[1:] != part[:-1]])
    # A step of more than twice the tolerance is a move wherever it was at rest; without a tolerance, any step.
    moved = begins | np.concatenate([[True], np.abs(np.diff(rows.value)) > 2 * tolerance])
    place = np.maximum.accumulate(np.where(moved, np.arange(len(part)), 0))
    age = rows.ts - rows.ts[place]
    last = np.concatenate([np.flatnonzero(begins)[1:] - 1, [len(part) - 1]])
    since = Samples(rows.slot[last], rows.ts[place[last]], rows.value[place[last]])
    backwards = np.concatenate([[False], np.diff(rows.ts) < 0]) & ~begins
    closely = backwards if tolerance == 0 else backwards | (age >= longest)
    near = np.zeros(len(last), np.bool_)
    near[part[closely]] = True
    # After the last certain move there may have been others, which take a closer look too.
    for which in np.flatnonzero(near | ((place[last] != last) & (tolerance > 0))).tolist():
        whole = int(last[which - 1]) + 1 if which else 0
        start = whole if near[which] else int(place[last[which]])
        _follow(rows, start, int(last[which]) + 1, tolerance, age, since, which)
    found = np.zeros(len(new.slot), np.int64)
    found[own[own >= 0]] = age[own >= 0]
    return found, others.and_also(since)


def _follow(rows: Samples, start: int, end: int, tolerance: float, age: Ints, since: Samples, which: int) -> None:
    """One device, reading by reading."""
    times, values = rows.ts[start:end].tolist(), rows.value[start:end].tolist()
    at, rest = times[0], values[0]
    for row, (ts, value) in enumerate(zip(times, values, strict=True), start=start):
        if abs(value - rest) > tolerance:
            at, rest = max(at, ts), value
        age[row] = ts - at
    since.ts[which], since.value[which] = at, rest


def _together(held: Samples, new: Samples) -> tuple[Samples, Samples, Ints]:
    """What is held of other devices; what is held of these and then what is new, by slot; and which new one each is."""
    if not len(new.slot):
        return held, new, np.empty(0, np.int64)
    of_these: Bools = np.zeros(int(max(held.slot.max(initial=0), new.slot.max())) + 1, np.bool_)
    of_these[new.slot] = True
    mine = of_these[held.slot]
    both = held.where(mine).and_also(new)
    order = np.argsort(both.slot, kind="stable")
    return held.where(~mine), both.where(order), order - int(mine.sum())


def _parts(slot: Ints) -> Ints:
    """0 for the rows of the first slot, 1 for those of the next one, and so on."""
    return np.cumsum(np.concatenate([[0], slot[1:] != slot[:-1]]))[: len(slot)]


def _key(part: Ints, within: Ints) -> Ints:
    """A number that grows with the part, and within it."""
    return part * (int(within.max(initial=0)) + 1) + within
