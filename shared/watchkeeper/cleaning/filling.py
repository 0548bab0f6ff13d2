"""Standing in for what is missing, for a whole column at once: the last good value, or where its trend leads.

The value after the hole is not waited for: a reading that is held back would delay its alarms, and one that is sent
again would be stored twice. So `linear` carries the trend on. The trend is the straight line from an earlier good value
to the last one, over at least as long as it may be carried on: then it adds no more noise than two readings have.
The earlier value is the first good one of the stretch before; stretches are as long as the limit, by the clock.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.packs import Bools, Floats, Ints


def stand_in(slot: Ints, ts: Ints, column: Floats, trail: Floats, limit: Ints, linear: Bools) -> Floats:
    """The column with each missing value (NaN) replaced, where there is what to replace it by.

    `slot` (n,) is an index into `trail` (slots, 6), which holds time and value of the first good value of the stretch
    before, of the first one of the last stretch, and of the last one; it is brought up to date. `limit` (n,) is how
    many ms after the last good value something may stand in, `linear` (n,) whether it follows the trend.
    """
    own, start = np.unique(slot, return_index=True)
    before = trail[own]
    s = np.concatenate([np.tile(own, 3), slot])
    t = np.concatenate([before[:, 0], before[:, 2], before[:, 4], ts])
    v = np.concatenate([before[:, 1], before[:, 3], before[:, 5], column])
    most = np.concatenate([np.tile(limit[start], 3), limit]).astype(np.float64)
    order = np.argsort(s, kind="stable")
    s, t, v, most = s[order], t[order], v[order], most[order]
    good, place = ~np.isnan(v), np.arange(len(v))
    begins = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
    first = np.repeat(begins, np.diff(np.r_[begins, len(s)]))
    latest = np.maximum.accumulate(np.where(good, place, -1))
    known = latest >= first
    starts = _starts(good, np.floor(t / most), s)
    number = np.cumsum(starts) - 1  # of the stretch that a row is in
    where = np.append(np.flatnonzero(starts), 0)
    this, prior = where[number], where[np.maximum(number, 0) - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        age = t - t[latest]
        base = t[latest] - t[prior]
        trend = (number > 0) & (prior >= first) & (base >= most) & (base <= 3 * most)
        slope = np.where(trend, (v[latest] - v[prior]) / base, 0.0)
        follows = np.concatenate([np.zeros(3 * len(own), bool), linear])[order]
        filled = v[latest] + np.where(follows, slope * age, 0.0)
        filled = np.where(known & (age <= most), filled, np.nan)
    result = np.empty_like(v)
    result[order] = np.where(good, v, filled)
    ends = np.r_[begins[1:], len(s)] - 1
    for column_of, (source, there) in enumerate(
        ((prior, (number > 0) & (prior >= first)), (this, known), (latest, known))
    ):
        rows, held = source[ends], there[ends]
        trail[own, 2 * column_of] = np.where(held, t[rows], np.nan)
        trail[own, 2 * column_of + 1] = np.where(held, v[rows], np.nan)
    return result[3 * len(own) :]


def _starts(good: Bools, stretch: Floats, slot: Ints) -> Bools:
    """Which good values are the first of their stretch: it is later than that of the good one before."""
    rows = np.flatnonzero(good)
    starts = np.zeros(len(good), bool)
    if len(rows):
        later = np.r_[True, (stretch[rows][1:] > stretch[rows][:-1]) | (slot[rows][1:] != slot[rows][:-1])]
        starts[rows[later]] = True
    return starts
