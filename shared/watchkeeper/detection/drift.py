"""Drift: how far what comes now is from what was learnt from, of one metric, as a population stability index.

Below 0.1 nothing has moved to speak of, above 0.25 much has (Siddiqi, Credit Risk Scorecards, 2006).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from watchkeeper.detection.series import F64

MUCH = 0.25
FEWEST = 100
"""Values on either side below which nothing is said: by chance alone, the index of 100 values is 0.1 or so."""
PRIOR = 5.0  # values that each side is believed to have had beforehand, as both together have them: no bin is empty
GREATEST = 8e307  # what is beyond is taken for it: the difference of two values is a number


class Sketch(msgspec.Struct, frozen=True, array_like=True):
    """How the values of a metric were distributed: `shares` of the bins that end at each of `bounds`, and above."""

    bounds: tuple[float, ...]
    shares: tuple[float, ...]
    rows: int


def sketch(values: F64) -> Sketch | None:
    """The distribution of values (n) over their tenths; what is not finite is left out. None: fewer than 100 are.

    A value that is at least a tenth of all by itself has a bin of its own, so that a constant can move either way.
    """
    known = _known(values)
    if known.size < FEWEST:
        return None
    tenths = np.quantile(known, np.linspace(0.1, 0.9, 9))
    repeated = tenths[1:][np.diff(tenths) == 0]
    bounds = np.unique(np.concatenate([tenths, np.nextafter(repeated, -np.inf)]))
    return Sketch(tuple(bounds.tolist()), tuple(_shares(known, bounds).tolist()), known.size)


def drift(reference: Sketch, values: F64) -> float | None:
    """The index of values (n) against a reference: 0 or more. None: fewer than 100 of them are finite."""
    known = _known(values)
    if known.size < FEWEST:
        return None
    before, after = np.asarray(reference.shares), _shares(known, np.asarray(reference.bounds))
    return stability(before, reference.rows, after, known.size)


def stability(before: F64, rows_before: int, after: F64, rows_after: int) -> float:
    """The index of two distributions over the same bins: their shares (bins), and of how many values each."""
    both = (before + after) / 2
    a, b = (
        ((share * rows + PRIOR * both) / (rows + PRIOR))[both > 0]
        for share, rows in ((before, rows_before), (after, rows_after))
    )
    return float(((b - a) * np.log(b / a)).sum())


def beyond_target(openings: int, device_weeks: float, target_a_week: float) -> bool:
    """Are there more openings than the target explains, at three standard deviations of a Poisson count, and one?"""
    expected = target_a_week * device_weeks
    return openings > expected + 3 * math.sqrt(expected) + 1


def _known(values: F64) -> F64:
    return np.clip(values[np.isfinite(values)], -GREATEST, GREATEST)


def _shares(known: F64, bounds: F64) -> F64:
    shares: F64 = np.bincount(np.searchsorted(bounds, known), minlength=bounds.size + 1) / known.size
    return shares
