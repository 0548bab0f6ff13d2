"""Standing in for what is missing: each device's last good value, for a whole column at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from watchkeeper.packs import Floats, Ints


def carry_on(slot: Ints, column: Floats, last: dict[int, float]) -> Floats:
    """The column with each missing value (NaN) replaced by its device's last one before it, where there is one.

    `slot` (n,) says whose each value is; `last` has the devices' last values before this column, and is brought up to
    date.
    """
    if not len(slot):
        return column
    by_slot = np.argsort(slot, kind="stable")
    s, v = slot[by_slot], column[by_slot]
    begins = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])
    first = np.repeat(begins, np.diff(np.r_[begins, len(s)]))  # where each value's device begins
    latest = np.maximum.accumulate(np.where(np.isnan(v), -1, np.arange(len(v))))
    held = np.array([last.get(device, np.nan) for device in s[begins].tolist()])
    carried = np.where(latest >= first, v[latest], np.repeat(held, np.diff(np.r_[begins, len(s)])))
    newest = zip(s[begins].tolist(), carried[np.r_[begins[1:], len(s)] - 1].tolist(), strict=True)
    last.update((device, value) for device, value in newest if not math.isnan(value))
    result = np.empty_like(column)
    result[by_slot] = carried
    return result
