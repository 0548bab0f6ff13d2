"""How far a device's metrics are, together, from where they usually are: a robust Hotelling T² of smoothed values.

The first PLACES metrics of a device take part. With u the smoothed deviations in their own spreads and R their
correlation, shrunk towards none, T² = u' R^-1 u (Hotelling, 1931), divided by the number of metrics, and by
1 + CAUTION / n, as spreads learnt from n readings are too small. Its surprise is its rank among the device's own T².
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import Observed
from watchkeeper.detection.devices import PLACES
from watchkeeper.detection.rounds import Round
from watchkeeper.detection.series import F32, I64, INDEX, Bools, between, constant
from watchkeeper.detection.surprise import count_in, scale_of, surprise

SMOOTHED, CENTRE, VARIANCE = INDEX["smooth"], INDEX["centre"], INDEX["variance"]
RATES, QUICK = np.array([1 / 8, 1 / 3000], np.float32)[:, None], constant(1 / 64)
"""How fast the smoothed values and what is usual are learnt; and what is usual, of flagged places that last."""
KEPT, CAUTION, CLIP, GATE = np.array(1.0 - np.float32(0.05), np.float64), constant(200.0), constant(4.0), constant(2.5)
"""KEPT: the share of each correlation that the shrinking leaves; the others as they are named."""
CLIP_SQUARE = CLIP * CLIP
MOST, LEAST_UNIT, FURTHEST = constant(50.0), constant(-50.0), constant(1e6)
NONE, NOTHING, ONE = constant(np.inf), constant(0.0), constant(1.0)
FEW = constant(30)
"""Readings of a metric before it takes part; once it is guarded its deviations are clipped before they are learnt."""
LASTING = constant(600)
"""Readings after which flagged places are taken for the new usual ones."""
FIRST_BOUND, JOINT_BINS = 0.25, 8
PRIOR, BEYOND = 95.0, (92.0, 76.0, 38.0, 3.8, 0.095, 9.5e-4, 9.5e-6, 9.5e-8)
"""Readings that are believed in before any, and how many of them beyond each bound; the own soon outweigh them."""
JOINT_SCALE = scale_of(FIRST_BOUND, (PRIOR,), (BEYOND,), 4096.0)
_ACROSS = PLACES + 1
"""Steps from one cell of a flat matrix' diagonal to the next."""
_ROW, _COLUMN = np.divmod(np.arange(PLACES * PLACES), PLACES)
_TINY, _LEAST = constant(1e-30), constant(1e-9)
EVERY = slice(None)


class Joined(NamedTuple):
    """nats float32 (r) of each reading; parts float32 (cells): what each cell of (r, PLACES) adds to its T²."""

    nats: F32
    parts: F32 | None  # None: nothing was measured
    inside: I64 | slice  # the pairs that took part
    cell: I64  # of each of them

    def share(self, pairs: int) -> F32:
        """What each metric adds to the T² of its reading (pairs), at least 0."""
        share = np.zeros(pairs, np.float32)
        if self.parts is not None:
            share[self.inside] = np.maximum(self.parts[self.cell], NOTHING)
        return share


class _Step(NamedTuple):
    """What one reading of each of r devices is: float32 (pairs) unless said."""

    row: I64
    cell: I64  # into (r, PLACES), flat
    ranked: Bools | None  # those of the first PLACES metrics of their device; None: all
    away: F32
    usual: F32  # the spread of single readings
    deviation: F32  # and, in that, of smoothed ones
    rate: F32


def join(devices: NDArray[np.void], block: F32, seen: Observed, each: Round, place: I64) -> Joined:
    """Measure a reading of each of r devices, and learn from it; `devices` (r) and `block` change.

    block  float32 (fields, pairs): the new fields of the series, from `observe`
    each   the round; place int64 (pairs): the place of each series in its device
    """
    r, row = devices.size, each.local
    smooth = block[SMOOTHED]
    pace, rate = np.maximum(seen.young, RATES)
    smooth += pace * (seen.value - smooth)
    ranked = place < PLACES
    every = np.count_nonzero(ranked) == place.size
    cell = row * PLACES + (place if every else np.minimum(place, PLACES - 1))
    deviation = np.sqrt(devices["joint"][:, ::_ACROSS] + _LEAST).reshape(-1)[cell]
    away, usual = smooth - block[CENTRE], np.sqrt(block[VARIANCE])
    step = _Step(row, cell, None if every else ranked, away, usual, deviation, rate)
    if every and seen.guarded is None:
        inside: I64 | slice = EVERY
        held = each.held
    else:
        inside = (ranked & (seen.n >= FEW)).nonzero()[0]
        held = np.bincount(row[inside], minlength=r)
    count = held.astype(np.float32)
    several = count > ONE
    measured = np.count_nonzero(several)
    nats, parts, flagged, cell = np.zeros(r, np.float32), None, None, cell[inside]
    if measured:
        far = away if seen.trifle is None else away * (np.abs(away) > seen.trifle)
        z = between(far / (usual + _TINY), LEAST_UNIT, MOST)[inside]
        parts = _parts(devices["joint"], cell, z, deviation[inside])
        known = devices["joint_n"]
        squared = np.add.reduce(parts, axis=1) / (np.maximum(count, ONE) * (ONE + CAUTION / (known + ONE)))
        squared = between(squared, NOTHING, FURTHEST)
        counts = devices["joint_counts"].T[None].copy()
        nats = surprise(JOINT_SCALE, counts, devices["joint_counted"], squared[None])[0]
        if measured < r:
            nats *= several
        wild = squared > GATE
        flagged = several & wild & (known > FEW) if np.count_nonzero(wild) else None
        _count(devices, counts, squared, flagged, several)
        parts = parts.reshape(-1)
    _learn(devices, block, seen, step, flagged)
    return Joined(nats, parts, inside, cell)


def _parts(joint: F32, cell: I64, z: F32, deviation: F32) -> F32:
    """What each cell (r, PLACES) adds to u' R^-1 u, of deviations z in units of `deviation`; 0 of those absent."""
    r = len(joint)
    inverse, scaled = np.zeros((2, r * PLACES), np.float32)
    inverse[cell] = unit = ONE / deviation
    scaled[cell] = z * unit
    matrix = np.multiply(np.multiply(*_crossed(inverse.reshape(r, PLACES))), joint, dtype=np.float64)
    matrix *= KEPT
    matrix[:, ::_ACROSS] = 1.0
    scaled = scaled.reshape(r, PLACES, 1)
    parts: F32 = (scaled * np.linalg.solve(matrix.reshape(r, PLACES, PLACES), scaled)).astype(np.float32)
    return parts.reshape(r, PLACES)


def _count(devices: NDArray[np.void], counts: F32, squared: F32, flagged: Bools | None, several: Bools) -> None:
    wild, counted = devices["joint_wild"], several
    if flagged is None:
        wild[several] = NOTHING
    else:
        wild += several
        wild *= flagged | ~several
        counted = several & ((wild <= ONE) | (wild > LASTING))
    count_in(JOINT_SCALE, counts, devices["joint_counted"], squared[None], counted)
    devices["joint_counts"] = counts[0].T
    devices["joint_n"] += several


def _learn(devices: NDArray[np.void], block: F32, seen: Observed, step: _Step, flagged: Bools | None) -> None:
    """Places, spreads and correlations, from what is not flagged or has lasted."""
    rate, lasting = step.rate, devices["joint_wild"] > LASTING
    if np.count_nonzero(lasting):
        np.maximum(rate, (QUICK * lasting)[step.row], out=rate)
    if flagged is not None:
        rate *= (~flagged | lasting)[step.row]
    centre, variance = block[CENTRE], block[VARIANCE]
    bound, most = CLIP * (step.usual * step.deviation), CLIP_SQUARE * variance
    if seen.guarded is not None:
        bound[~seen.guarded] = most[~seen.guarded] = NONE
    moved = between(step.away, -bound, bound)
    centre += rate * moved
    square = np.square(seen.value - centre)
    variance += rate * (np.minimum(square, most) - variance)
    unit = between(moved / (np.sqrt(variance) + _TINY), LEAST_UNIT, MOST)
    cells = np.zeros((2, devices.size, PLACES), np.float32)
    own, speed = cells.reshape(2, -1)
    taking = EVERY if step.ranked is None else step.ranked
    cell = step.cell[taking]
    own[cell], speed[cell] = unit[taking], rate[taking]
    (row_own, row_speed), (column_own, column_speed) = _crossed(cells)
    change = row_own * column_own
    joint = devices["joint"]
    change -= joint
    change *= np.minimum(row_speed, column_speed)
    joint += change


def _crossed(each: F32) -> tuple[F32, F32]:
    """What each cell (…, PLACES²) of a matrix is of: rows and columns (…, PLACES); quicker than broadcasting a few."""
    return each.take(_ROW, axis=-1), each.take(_COLUMN, axis=-1)
