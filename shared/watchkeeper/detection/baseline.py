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

from watchkeeper.detection.season import Clock, accumulate, seasonal
from watchkeeper.detection.series import BINS, EDGES, F32, F64, I64, INDEX, OFFSETS, TAILS, Bools, between, constant
from watchkeeper.detection.surprise import count_in, scale_of, surprise

VALUE_LIMIT, LESS_VALUE, ANCHOR_LIMIT = constant(1e17), constant(-1e17), np.array(1e17)
"""A value further than this from its series' anchor is taken as this far, so that squares of spreads stay finite."""

RATES = np.array(
    [[0.49], [1 / 11], [1 / 227], [1 / 46], [1 / 1024], [1 / 100], [1 / 1102], [1 / 1477], [1 / 1477], [1 / 362]],
    np.float32,
)
"""How fast is learnt: the fast, the near and the wide level, the short spread, the share of repeats; and, not from what
is flagged, the slow level, the usual sizes of the residual, of the near and the wide shift, and of the volatility.
"""
LEVELS, SHORT, DRIFT, SLOW, SPREADS, VOL = slice(0, 3), 3, 4, 5, slice(6, 10), 9
GUARDED, GOING = slice(5, 10), slice(5, 7)
"""Of RATES, by row: what is not learnt from what is flagged; what a lasting deviation is learnt at QUICK by."""
QUICK = constant(1 / 16)
GAUSS = constant(1.2533141)
CLIPS, GATE = np.array([5.0, 5.0, 5.0, 4.0], np.float32)[:, None], constant(30.7)
MULTIPLES = np.array([2.07, 10.0, 1.0, 0.1, 0.1], np.float32)[:, None]
"""Scales beyond which a residual moves the near and the wide level, and is loud, no more than one just there; and the
least scales of the residual and of the two shifts.
"""
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
TWO, THREE, KNOWN = constant(2.0), constant(3.0), constant(1.0 / YOUNG)
Z_LIMIT = constant(1e9)
WEIGHTS = np.array([1.06, 2.0, 1.98, 0.298, 1.31], np.float32)[:, None]
TOLERANCE = constant(1.88)
"""Nats of one distance that are not worth a mention: only what is above counts towards a score."""
TOGETHER, ROOT = constant(3.0), constant(1.0 / 3.0)
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
    guarded: Bools | None  # of the series that are known well enough to be guarded; None: all are
    young: F32  # 1 / (n + 1)
    z: F32  # (tails, n)
    nats: F32  # (tails + 1, n), above the tolerance and weighted; near and wide as one; the last is for a stuck value
    smoothed: F32  # nats of the series, smoothed: the greatest sum that is left, unless it does not matter
    noted: F32  # the same, of what does not matter too: what the bar is learnt from
    louder: F32
    move: F32  # change since the last reading
    scales: F32  # (4, n): what is usual of the residual, the near and the wide shift, and the volatility
    anchor: F64  # that all offsets are from
    value: F32
    expected: F32  # offset expected from the slow level and the time of day
    flagged: Bools | None  # None: nothing is
    trifle: F32 | None  # distances up to which nothing is said, of series that hardly ever change; None: there are none

    def band(self) -> F32:
        """Half the width of the expected band."""
        wide: F32 = THREE * self.scales[0] + TWO * self.scales[1]
        return wide

    def rate(self) -> F32:
        """Change since the last reading, in spreads."""
        moved: F32 = self.move / self.scales[0]
        return moved


def observe(  # noqa: PLR0915 - a page of formulas, in their order
    records: NDArray[np.void], x: F64, clock: Clock, rows: I64, relearn: int
) -> tuple[Observed, F32]:
    """Measure a reading x (n), finite, of each series against its past, then learn from it: `records` (n) change.

    rows (n): into the clock; relearn: readings after which a flagged level is learnt all the same. Answers also the
    fields' new values (fields, n), which `keep` puts into the records: the joint distance (joint.py) learns from them
    too. What concerns only young, flagged or stuck series is left out where there are none: the most of one reading's
    time goes into calls, not into numbers.
    """
    block = np.ascontiguousarray(records["fields"].T)
    last, slow, levels = block[0], block[4], block[1:4]
    n, spreads, vol, short = block[10], block[11:15], block[15], block[16]
    step, changes, repeats, longest, repeating, smoothed, wild, gain = block[17:25]
    before, anchor = n.copy(), records["anchor"].copy()
    guarded = before > GUARD
    young_too = np.count_nonzero(guarded) < x.size
    if young_too:
        first = before == NOTHING
        anchor[first] = x[first]
    value = between((x - anchor).astype(np.float32), LESS_VALUE, VALUE_LIMIT)
    season = seasonal(records, block, clock, rows) if np.count_nonzero(gain) else None
    y = value if season is None else value - season
    n += ONE
    young = ONE / n
    rates = np.maximum(young, RATES)

    move = np.abs(value - last)
    moved = move > NOTHING
    smaller = (move < step) | (step == NOTHING)
    if np.count_nonzero(smaller):
        np.copyto(step, move, where=smaller & moved)
    size = np.minimum(np.abs(anchor), ANCHOR_LIMIT)
    grain = np.maximum((HUNDREDTH / (ONE + changes) + GRAIN) * size, GRAIN_LEAST).astype(np.float32)
    usual = GAUSS * spreads
    scale = np.maximum(np.maximum(usual[0], HALF * step), grain)
    trifle = _trifle(changes * young, guarded, size)
    if trifle is not None:
        np.maximum(scale, FOURTH * trifle, out=scale)
    least = np.empty((6, x.size), np.float32)
    np.multiply(MULTIPLES, scale, out=least[:5])
    most, loudest = least[:2]
    if young_too:
        most[~guarded] = NONE
    least[5] = TENTH
    scales = np.maximum(usual, least[2:])
    away, z, target = (
        np.empty((4, x.size), np.float32),
        np.empty((TAILS, x.size), np.float32),
        np.empty((3, x.size), np.float32),
    )
    residual = y - levels[0]
    np.abs(residual, out=away[0])
    target[0] = y
    np.add(levels[0], np.copysign(np.minimum(away[0], most), residual), out=target[1:])
    expected = slow.copy() if season is None else slow + season

    target -= levels
    target *= rates[LEVELS]
    levels += target
    np.subtract(levels[1:], slow, out=away[1:3])
    np.abs(away[1:3], out=away[1:3])
    short += rates[SHORT] * (np.minimum(away[0], loudest) - short)
    louder = away[3] = np.log(GAUSS * short / scale + TWENTIETH) - vol
    np.divide(away, scales, out=z[:4])
    np.negative(z[3], out=z[4])
    np.minimum(np.maximum(z, NOTHING, out=z), Z_LIMIT, out=z)

    still = ~moved
    np.maximum(longest, repeats, out=longest, where=moved)
    stuck = _stuck(repeats, longest, still, guarded)
    counts = records["tails"].T.astype(np.float32).reshape(TAILS, BINS, -1)
    counted = records["counted"].astype(np.float32)
    nats = np.zeros((TAILS + 1, x.size), np.float32)
    tails = np.subtract(surprise(TAIL_SCALE, counts, counted, z), TOLERANCE, out=nats[:TAILS])
    np.maximum(tails, NOTHING, out=tails)
    tails *= WEIGHTS
    near, wide = nats[1:3]
    some = (near + wide).nonzero()[0]
    if some.size:
        near[some] = (near[some] ** TOGETHER + wide[some] ** TOGETHER) ** ROOT
        wide[:] = NOTHING
    if stuck is not None:
        chance = -np.log(between((repeating * before + 1.0) / (before + 2.0), 1e-6, 1.0))
        nats[TAILS] = stuck * np.minimum(STUCK_WORTH * np.maximum(repeats * chance - 20.0, 0.0), STUCK_MOST)
    if young_too:
        nats *= np.minimum(before * KNOWN, ONE)  # a series hardly known is hardly believed
    total = np.add.reduce(nats, axis=0)
    np.maximum(total, smoothed + FADE * (total - smoothed), out=smoothed)
    told = noted = smoothed.copy()
    if trifle is not None:
        matters = np.maximum.reduce(away[:3], axis=0) > trifle
        told = noted * matters
        nats *= matters

    far = z[:3] > GATE
    flagged = guarded & np.logical_or.reduce(far) if np.count_nonzero(far) else None
    learnt, taken_in = None, before >= FEW if young_too else guarded
    if flagged is None:
        wild[:] = NOTHING
    else:
        wild += ONE
        wild *= flagged
        lasting = wild > relearn
        learnt = ~flagged | lasting
        taken_in = taken_in & ((wild <= ONE) | lasting)
        np.maximum(rates[GOING], QUICK * lasting, out=rates[GOING])
        rates[GUARDED] *= learnt
    count_in(TAIL_SCALE, counts, counted, z, taken_in)
    records["tails"] = counts.reshape(TAILS * BINS, -1).T
    records["counted"] = counted
    slow += rates[SLOW] * (y - slow)
    np.abs(away, out=away)
    vol += rates[VOL] * np.copysign(np.minimum(away[3], THREE * scales[3]), louder)
    bound = CLIPS * scales
    if young_too:
        bound[:3, before <= SETTLE] = NONE
    np.minimum(away, bound, out=away)
    away -= spreads
    away *= rates[SPREADS]
    spreads += away

    drift = rates[DRIFT] * (still - repeating)
    if stuck is not None:
        worn = repeats > 10.0 * relearn
        longest[worn] = repeats[worn]
        drift *= ~stuck
    repeating += drift
    changes += moved
    last[:] = value
    accumulate(records, block, value, clock.slot.take(rows), learnt)
    seen = Observed(
        before, guarded if young_too else None, young, z, nats, told, noted, louder, move, scales, anchor, value,
        expected, flagged, trifle,
    )  # fmt: skip
    return seen, block


def _stuck(repeats: F32, longest: F32, still: Bools, guarded: Bools) -> Bools | None:
    """Which known series repeat a value for longer than they ever did, having counted it in `repeats`. None: none."""
    if not np.count_nonzero(still):
        repeats[:] = NOTHING
        return None
    repeats += ONE
    repeats *= still
    stuck: Bools = guarded & (repeats > THREE * longest + STUCK_AFTER)
    return stuck if np.count_nonzero(stuck) else None


def _trifle(changing: F32, guarded: Bools, size: F64) -> F32 | None:
    """What is too small to matter (n), of known series by the share of readings at which they change; None: nothing."""
    flat = guarded & (changing < LIVELY)
    if not np.count_nonzero(flat):
        return None
    share = TRIFLE * flat * np.minimum((LIVELY - changing) * FLAT, ONE)
    small: F32 = (share * size).astype(np.float32)
    return small


def keep(records: NDArray[np.void], block: F32, x: F64, seen: Observed) -> None:
    """Put the fields' new values into the records; where nothing was flagged, their anchor moves to the value."""
    last = block[INDEX["last"]]
    if seen.flagged is None:
        block[:OFFSETS] -= last.copy()
        records["anchor"] = x
    else:
        block[:OFFSETS] -= ~seen.flagged * last
        records["anchor"] = np.where(seen.flagged, seen.anchor, x)
    records["fields"] = block.T
