"""What is normal for each series, learnt one reading at a time in O(1), over many series at once.

Levels are exponentially weighted means over counts of readings, so that nothing depends on the time step; only the
daily profile (season.py) knows the clock. Five distances, each in units of its own usual size:

    residual      |value - fast level| / spread of residuals
    near, wide    |near or wide level - slow level| / its usual size
    louder        how far the log ratio of short to usual spread is above its own mean, in its spreads
    quieter       how far it is below

Spreads are mean absolute deviations times 1.2533 (= sqrt(pi/2), the standard deviation of a Gaussian), of values
clipped, as in Huber's M-estimator of scale (Robust Statistics, 1981, ch. 5).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.season import DayClock, accumulate, seasonal
from watchkeeper.detection.series import BINS, EDGES, F32, F64, INDEX, OFFSETS, TAILS, Bools, between
from watchkeeper.detection.surprise import count_in, scale_of, surprise

VALUE_LIMIT = 1e17
"""A value further than this from its series' anchor is taken as this far, so that squares of spreads stay finite."""

FAST, NEAR, WIDE, SLOW = (np.float32(rate) for rate in (1 / 3, 1 / 18, 1 / 172, 1 / 126))
SPREAD, SHORT, VOL = (np.float32(rate) for rate in (1 / 1000, 1 / 13, 1 / 190))
DRIFT = np.float32(1 / 1024)
QUICK = np.float32(1 / 16)
GAUSS = np.float32(1.2533141)
CLIP, GATE = 5.0, 25.0
YOUNG = 50
"""Readings of a series before it is flagged, and counts as known."""
FEW, SETTLE, GUARD = 5, 20, YOUNG
TINY = np.float32(1e-30)
Z_LIMIT = np.float32(1e9)
WEIGHTS = np.array([0.83, 1.0, 2.3, 0.23, 0.77], np.float32)[:, None]
TOLERANCE = np.float32(2.46)
"""Nats of one distance that are not worth a mention: only what is above counts towards a score."""
FADE = np.float32(0.12)
STUCK_AFTER, STUCK_MOST, STUCK_WORTH = 10.0, 30.0, 2.0
TAIL_SCALE = scale_of(float(EDGES[0]), BINS, 16384.0)


class Observed(NamedTuple):
    """What one reading of each of n series looked like before it was learnt: float32 (n) unless said."""

    n: F32
    z: F32  # (tails, n)
    nats: F32  # (tails + 1, n), above the tolerance and weighted; the last is for a stuck value
    smoothed: F32  # nats of the series, smoothed: the greatest sum that is left
    louder: F32
    rate: F32  # change since the last reading, in spreads
    anchor: F64  # that all offsets are from
    value: F32
    expected: F32  # offset expected from the slow level and the time of day
    band: F32  # half the width of the expected band
    flagged: Bools


def observe(records: NDArray[np.void], x: F64, clock: DayClock, relearn: int) -> tuple[Observed, F32]:  # noqa: PLR0915 - a page of formulas, in their order
    """Measure a reading x (n), finite, of each series against its past, then learn from it: `records` (n) change.

    relearn: readings after which a flagged level is learnt all the same. Answers also the fields' new values
    (fields, n), which `keep` puts into the records: the joint distance (joint.py) learns from them too.
    """
    block = np.ascontiguousarray(records["fields"].T)
    anchor = records["anchor"].copy()
    last, fast, near, wide, slow = block[:5]
    n, spread, step, changes, repeats, longest, short, vol, vol_spread = block[10:19]
    near_spread, wide_spread, smoothed, wild, gain = block[19:24]
    middle, repeating = block[28], block[30]
    first = n == 0
    if first.any():
        anchor = np.where(first, x, anchor)
    value = np.minimum(np.maximum(x - anchor, -VALUE_LIMIT), VALUE_LIMIT).astype(np.float32)
    season = seasonal(records, gain, middle, clock) if (gain > 0).any() else np.zeros_like(value)
    y = value - season
    young = np.float32(1.0) / (n + np.float32(1.0))
    settled, guarded = n > SETTLE, n > GUARD

    move = np.abs(value - last)
    moved = move > 0
    step[moved] = np.where(step[moved] > 0, np.minimum(step[moved], move[moved]), move[moved])
    grain = np.minimum(np.abs(anchor), VALUE_LIMIT).astype(np.float32) * (np.float32(0.01) / (1 + changes) + 1e-9)
    scale = np.maximum(np.maximum(GAUSS * spread, np.float32(0.5) * step), np.maximum(grain, TINY))
    residual = y - fast
    size = np.abs(residual)
    limit = np.where(settled, np.float32(CLIP) * scale, np.float32(np.inf))
    z = np.empty((TAILS, x.size), np.float32)
    np.divide(size, scale, out=z[0])
    expected = slow + season

    fast += np.maximum(young, FAST) * residual
    near += np.maximum(young, NEAR) * (y - near)
    wide += np.maximum(young, WIDE) * (y - wide)
    near_gap, wide_gap = np.abs(near - slow), np.abs(wide - slow)
    floor = np.float32(0.1) * scale
    near_scale = np.maximum(GAUSS * near_spread, floor)
    wide_scale = np.maximum(GAUSS * wide_spread, floor)
    np.divide(near_gap, near_scale, out=z[1])
    np.divide(wide_gap, wide_scale, out=z[2])
    short += np.maximum(young, SHORT) * (np.minimum(size, np.float32(8.0) * scale) - short)
    louder = np.log(GAUSS * short / scale + np.float32(0.05)) - vol
    vol_scale = np.maximum(GAUSS * vol_spread, np.float32(0.1))
    np.divide(louder, vol_scale, out=z[3])
    np.negative(z[3], out=z[4])
    np.minimum(np.maximum(z, 0.0, out=z), Z_LIMIT, out=z)

    ended = moved & (repeats > longest)
    longest[ended] = repeats[ended]
    repeats += 1.0
    repeats *= ~moved
    stuck = guarded & (repeats > 3.0 * longest + STUCK_AFTER)
    counts = np.ascontiguousarray(records["tails"].T, np.float32).reshape(TAILS, BINS, -1)
    total_counted = records["counted"].astype(np.float32)
    nats = np.zeros((TAILS + 1, x.size), np.float32)
    np.maximum(surprise(TAIL_SCALE, counts, total_counted, z) - TOLERANCE, 0.0, out=nats[:TAILS])
    nats[:TAILS] *= WEIGHTS
    if stuck.any():
        chance = -np.log(between((repeating * n + 1.0) / (n + 2.0), 1e-6, 1.0))
        nats[TAILS] = stuck * np.minimum(STUCK_WORTH * np.maximum(repeats * chance - 20.0, 0.0), STUCK_MOST)
    nats *= np.minimum(n * np.float32(1.0 / YOUNG), 1.0)  # a series hardly known is hardly believed
    total = nats.sum(axis=0)
    np.maximum(total, smoothed + FADE * (total - smoothed), out=smoothed)

    flagged = (z[:3].max(axis=0) > GATE) & guarded
    wild += 1.0
    wild *= flagged
    lasting = wild > relearn
    open_to = ~flagged | lasting
    quick = np.where(lasting, QUICK, young)
    count_in(TAIL_SCALE, counts, total_counted, z, ((wild <= 1.0) | lasting) & (n >= FEW))
    records["tails"] = counts.reshape(TAILS * BINS, -1).T
    records["counted"] = total_counted
    slow += open_to * np.maximum(quick, SLOW) * (y - slow)
    spread += open_to * np.maximum(quick, SPREAD) * (np.minimum(size, limit) - spread)
    usual = open_to * np.maximum(young, SPREAD)
    bound = np.where(guarded, np.float32(CLIP), np.float32(np.inf))
    near_spread += usual * (np.minimum(near_gap, bound * near_scale) - near_spread)
    wide_spread += usual * (np.minimum(wide_gap, bound * wide_scale) - wide_spread)
    often = open_to * np.maximum(young, VOL)
    vol += often * between(louder, -3.0 * vol_scale, 3.0 * vol_scale)
    vol_spread += often * (np.minimum(np.abs(louder), 4.0 * vol_scale) - vol_spread)

    repeating += ~stuck * np.maximum(young, DRIFT) * (~moved - repeating)
    worn = repeats > 10.0 * relearn
    longest[worn] = repeats[worn]
    changes += moved
    last[:] = value
    before = n.copy()
    n += 1.0
    accumulate(records, block, value, clock.hour, open_to)
    records["anchor"] = anchor
    band = 3.0 * scale + 2.0 * near_scale
    rate = move / scale
    seen = Observed(before, z, nats, smoothed.copy(), louder, rate, anchor, value, expected, band, flagged)
    return seen, block


def keep(records: NDArray[np.void], block: F32, x: F64, flagged: Bools) -> None:
    """Put the fields' new values into the records; where nothing was flagged, their anchor moves to the value."""
    moving = np.flatnonzero(~flagged)
    block[:OFFSETS, moving] -= block[INDEX["last"], moving]
    anchor = records["anchor"]
    anchor[moving] = x[moving]
    records["fields"] = block.T
