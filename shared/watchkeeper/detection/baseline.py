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

from watchkeeper.detection.season import LocalTime, accumulate, seasonal
from watchkeeper.detection.series import BINS, EDGES, F32, F64, INDEX, OFFSETS, TAILS, Bools, between, constant
from watchkeeper.detection.surprise import count_in, scale_of, surprise

VALUE_LIMIT = np.array(1e17)
"""A value further than this from its series' anchor is taken as this far, so that squares of spreads stay finite."""

RATES = np.array([0.49, 1 / 11, 1 / 227], np.float32)[:, None]
"""Of the fast, the near and the wide level …"""
SLOW = constant(1 / 100)
SPREADS = np.array([1 / 1102, 1 / 1477, 1 / 1477], np.float32)[:, None]
"""… and of the usual sizes of the residual and of their distances from the slow level."""
SHORT, VOL = constant(1 / 46), constant(1 / 362)
DRIFT = constant(1 / 1024)
QUICK = constant(1 / 16)
GAUSS = constant(1.2533141)
CLIP, GATE = constant(5.0), constant(30.7)
SPIKE, LOUDEST = constant(2.07), constant(10.0)
"""Scales beyond which a residual moves the near and the wide level, and is loud, no more than one just there."""
YOUNG = 50
"""Readings of a series before it is flagged, and counts as known."""
FEW, SETTLE, GUARD = constant(5), constant(20), constant(YOUNG)
GRAIN, GRAIN_LEAST = constant(1e-9), np.array(1e-30)
"""What a change of a value is at the least, as a share of it and as such."""
TRIFLE, FOURTH, LIVELY, FLAT = constant(0.005), constant(0.25), constant(0.5), constant(1.0 / 0.45)
"""A series that hardly ever changes may move by this share of its level unnoticed: all while one reading in twenty
changes, none where every other does. Set points, rounding and idle sensors creep so, and nobody is woken for it; what
goes beyond is judged as all else, since a flat line that really moves is a fault as often as a command. Series that
wobble (293.15 K, give or take 0.05), run (counters) or rest at zero (rates) have a measure of their own, and no share.
"""
NONE = constant(np.inf)
NOTHING, HUNDREDTH, TENTH, TWENTIETH, HALF, ONE = (constant(x) for x in (0.0, 0.01, 0.1, 0.05, 0.5, 1.0))
TWO, THREE, FOUR, KNOWN = constant(2.0), constant(3.0), constant(4.0), constant(1.0 / YOUNG)
LESS_VALUE, LESS_THREE = -VALUE_LIMIT, -THREE
Z_LIMIT = constant(1e9)
WEIGHTS = np.array([1.06, 2.0, 1.98, 0.298, 1.31], np.float32)[:, None]
TOLERANCE = constant(1.88)
"""Nats of one distance that are not worth a mention: only what is above counts towards a score."""
TOGETHER = constant(3.0)
"""The near and the wide shift see much of the same: their nats are joined by a norm of this power, not a sum."""
FADE = constant(0.4)
STUCK_AFTER, STUCK_MOST, STUCK_WORTH = constant(10.0), constant(30.0), constant(2.0)
PRIOR = (62.6, 36.2, 35.6, 39.4, 39.4)
BEYOND = (
    (39.1, 20.5, 3.77, 0.684, 0.014, 0.000287, 5.89e-06),
    (22.8, 12.1, 2.58, 1.39, 1.13, 0.0419, 0.0137),
    (22.4, 12.0, 2.56, 1.38, 1.13, 0.0413, 0.0135),
    (24.8, 13.2, 1.73, 0.427, 0.14, 0.0459, 0.015),
    (24.8, 13.2, 2.73, 1.43, 1.14, 1.05, 0.015),
)
"""Readings that are believed in before any, and how many of them beyond each bound, for each tail: one of them is far,
so that nothing is rarer than one among all readings by much, as it must be for ranks.
"""
TAIL_SCALE = scale_of(float(EDGES[0]), PRIOR, BEYOND, 16384.0)


class Observed(NamedTuple):
    """What one reading of each of n series looked like before it was learnt: float32 (n) unless said."""

    n: F32
    young: F32  # 1 / (n + 1)
    z: F32  # (tails, n)
    nats: F32  # (tails + 1, n), above the tolerance and weighted; near and wide as one; the last is for a stuck value
    smoothed: F32  # nats of the series, smoothed: the greatest sum that is left, unless it does not matter
    noted: F32  # the same, of what does not matter too: what the bar is learnt from
    louder: F32
    rate: F32  # change since the last reading, in spreads
    anchor: F64  # that all offsets are from
    value: F32
    expected: F32  # offset expected from the slow level and the time of day
    band: F32  # half the width of the expected band
    flagged: Bools
    trifle: F32 | None  # distances up to which nothing is said, of series that hardly ever change; None: there are none


def observe(records: NDArray[np.void], x: F64, at: LocalTime, relearn: int) -> tuple[Observed, F32]:  # noqa: PLR0915 - a page of formulas, in their order
    """Measure a reading x (n), finite, of each series against its past, then learn from it: `records` (n) change.

    relearn: readings after which a flagged level is learnt all the same. Answers also the fields' new values
    (fields, n), which `keep` puts into the records: the joint distance (joint.py) learns from them too.
    """
    block = np.ascontiguousarray(records["fields"].T)
    last, slow, levels = block[0], block[4], block[1:4]
    n, spread, spreads, vol_spread, vol, short = block[10], block[11], block[11:14], block[14], block[15], block[16]
    step, changes, repeats, longest, repeating, smoothed, wild, gain = block[17:25]
    anchor = records["anchor"].copy()
    first = n == NOTHING
    if np.count_nonzero(first):
        anchor[first] = x[first]
    value = between(x - anchor, LESS_VALUE, VALUE_LIMIT).astype(np.float32)
    season = seasonal(records, block, at) if np.count_nonzero(gain) else np.zeros(x.size, np.float32)
    y = value - season
    young = ONE / (n + ONE)
    settled, guarded = n > SETTLE, n > GUARD

    move = np.abs(value - last)
    moved = move > NOTHING
    smaller = moved & ((move < step) | (step == NOTHING))
    if np.count_nonzero(smaller):
        step[smaller] = move[smaller]
    grain = (HUNDREDTH / (ONE + changes) + GRAIN) * np.minimum(np.abs(anchor), VALUE_LIMIT)
    scale = np.maximum(np.maximum(GAUSS * spread, HALF * step), np.maximum(grain, GRAIN_LEAST))
    scale = scale.astype(np.float32)
    trifle = _trifle(changes * young, guarded, anchor)
    if trifle is not None:
        np.maximum(scale, FOURTH * trifle, out=scale)
    residual = y - levels[0]
    away = np.empty((3, x.size), np.float32)
    size = np.abs(residual, out=away[0])
    most = np.where(guarded, SPIKE, NONE) * scale
    target = np.empty((3, x.size), np.float32)
    target[0] = y
    target[1:] = levels[0] + between(residual, -most, most)
    expected = slow + season

    target -= levels
    target *= np.maximum(young, RATES)
    levels += target
    np.abs(levels[1:] - slow, out=away[1:])
    scales = np.maximum(GAUSS * spreads, TENTH * scale)
    scales[0] = scale
    z = np.empty((TAILS, x.size), np.float32)
    np.divide(away, scales, out=z[:3])
    short += np.maximum(young, SHORT) * (np.minimum(size, LOUDEST * scale) - short)
    louder = np.log(GAUSS * short / scale + TWENTIETH) - vol
    vol_scale = np.maximum(GAUSS * vol_spread, TENTH)
    np.divide(louder, vol_scale, out=z[3])
    np.negative(z[3], out=z[4])
    np.minimum(np.maximum(z, NOTHING, out=z), Z_LIMIT, out=z)

    ended = moved & (repeats > longest)
    if np.count_nonzero(ended):
        longest[ended] = repeats[ended]
    repeats += ONE
    repeats *= ~moved
    stuck = guarded & (repeats > THREE * longest + STUCK_AFTER)
    counts = records["tails"].T.astype(np.float32).reshape(TAILS, BINS, -1)
    total_counted = records["counted"].astype(np.float32)
    nats = np.zeros((TAILS + 1, x.size), np.float32)
    np.maximum(surprise(TAIL_SCALE, counts, total_counted, z) - TOLERANCE, NOTHING, out=nats[:TAILS])
    nats[:TAILS] *= WEIGHTS
    shifts = nats[1:3]
    some = np.logical_or.reduce(shifts).nonzero()[0]
    if some.size:
        shifts[0, some] = (shifts[:, some] ** TOGETHER).sum(axis=0) ** (ONE / TOGETHER)
        shifts[1] = 0.0
    if np.count_nonzero(stuck):
        chance = -np.log(between((repeating * n + 1.0) / (n + 2.0), 1e-6, 1.0))
        nats[TAILS] = stuck * np.minimum(STUCK_WORTH * np.maximum(repeats * chance - 20.0, 0.0), STUCK_MOST)
    nats *= np.minimum(n * KNOWN, ONE)  # a series hardly known is hardly believed
    total = np.add.reduce(nats, axis=0)
    np.maximum(total, smoothed + FADE * (total - smoothed), out=smoothed)
    told = noted = smoothed.copy()
    if trifle is not None:
        matters = np.maximum.reduce(away, axis=0) > trifle
        told = noted * matters
        nats *= matters

    flagged = guarded & (np.maximum.reduce(z[:3], axis=0) > GATE)
    wild += ONE
    wild *= flagged
    lasting = wild > relearn
    learnt = ~flagged | lasting
    open_to = learnt.astype(np.float32)
    count_in(TAIL_SCALE, counts, total_counted, z, ((wild <= ONE) | lasting) & (n >= FEW))
    records["tails"] = counts.reshape(TAILS * BINS, -1).T
    records["counted"] = total_counted
    quick = np.where(lasting, QUICK, young) if np.count_nonzero(lasting) else young
    slow += open_to * np.maximum(quick, SLOW) * (y - slow)
    rates = np.maximum(young, SPREADS)
    if quick is not young:
        np.maximum(rates[0], quick, out=rates[0])
    rates *= open_to
    np.minimum(away, np.where(settled, CLIP, NONE) * scales, out=away)
    away -= spreads
    away *= rates
    spreads += away
    often = open_to * np.maximum(young, VOL)
    vol += often * between(louder, LESS_THREE * vol_scale, THREE * vol_scale)
    vol_spread += often * (np.minimum(np.abs(louder), FOUR * vol_scale) - vol_spread)

    if np.count_nonzero(stuck):
        worn = repeats > 10.0 * relearn
        longest[worn] = repeats[worn]
    repeating += ~stuck * np.maximum(young, DRIFT) * (~moved - repeating)
    changes += moved
    last[:] = value
    before = n.copy()
    n += ONE
    accumulate(records, block, value, at, learnt)
    records["anchor"] = anchor
    band = THREE * scale + TWO * scales[1]
    rate = move / scale
    seen = Observed(before, young, z, nats, told, noted, louder, rate, anchor, value, expected, band, flagged, trifle)
    return seen, block


def _trifle(changing: F32, guarded: Bools, anchor: F64) -> F32 | None:
    """What is too small to matter (n), of known series by the share of readings at which they change; None: nothing."""
    flat = guarded & (changing < LIVELY)
    if not np.count_nonzero(flat):
        return None
    share = TRIFLE * flat * np.minimum((LIVELY - changing) * FLAT, ONE)
    small: F32 = (share * np.minimum(np.abs(anchor), VALUE_LIMIT)).astype(np.float32)
    return small


def keep(records: NDArray[np.void], block: F32, x: F64, flagged: Bools) -> None:
    """Put the fields' new values into the records; where nothing was flagged, their anchor moves to the value."""
    shift = ~flagged * block[INDEX["last"]]
    block[:OFFSETS] -= shift
    records["anchor"] = np.where(flagged, records["anchor"], x)
    records["fields"] = block.T
