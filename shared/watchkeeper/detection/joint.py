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
from watchkeeper.detection.series import F32, I64, INDEX, Bools, between, constant
from watchkeeper.detection.surprise import count_in, scale_of, surprise

SMOOTHED, CENTRE, VARIANCE = INDEX["smooth"], INDEX["centre"], INDEX["variance"]
SMOOTH, LEARN, QUICK = constant(1 / 8), constant(1 / 3000), constant(1 / 64)
KEPT, CAUTION, CLIP, GATE = np.array(1.0 - np.float32(0.05), np.float64), constant(200.0), constant(4.0), constant(2.5)
"""KEPT: the share of each correlation that the shrinking leaves; the others as they are named."""
MOST, LEAST_UNIT, FURTHEST = constant(50.0), constant(-50.0), constant(1e6)
NONE, NOTHING, ONE = constant(np.inf), constant(0.0), constant(1.0)
FEW = constant(30)
"""Readings of a metric before it takes part."""
GUARD = constant(50)
"""Readings after which deviations are clipped before they are learnt."""
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


class Joined(NamedTuple):
    """nats float32 (r) of each reading; share float32 (pairs): what each metric adds to its T², at least 0."""

    nats: F32
    share: F32


def join(devices: NDArray[np.void], block: F32, seen: Observed, row: I64, place: I64) -> Joined:
    """Measure a reading of each of r devices, and learn from it; `devices` (r) and `block` change.

    block  float32 (fields, pairs): the new fields of the series, from `observe`
    row    int64 (pairs): the reading each belongs to; place int64 (pairs): its series' place in its device
    """
    r = devices.size
    smooth, centre, variance = block[SMOOTHED], block[CENTRE], block[VARIANCE]
    n, young = seen.n, seen.young
    smooth += np.maximum(SMOOTH, young) * (seen.value - smooth)
    away = smooth - centre
    ranked = place < PLACES
    flat = row * PLACES + np.minimum(place, PLACES - 1)
    joint = devices["joint"].copy()
    deviation = np.sqrt(joint[:, ::_ACROSS] + _LEAST)
    nats, share = np.zeros(r, np.float32), np.zeros(row.size, np.float32)
    inside = (ranked & (n >= FEW)).nonzero()[0]
    count = np.bincount(row[inside], minlength=r).astype(np.float32)
    several = count > ONE
    flagged = np.zeros(r, bool)
    if np.count_nonzero(several):
        cell = flat[inside]
        far = away if seen.trifle is None else away * (np.abs(away) > seen.trifle)
        z = between(far / (np.sqrt(variance) + _TINY), LEAST_UNIT, MOST)
        inverse, scaled = np.zeros(r * PLACES, np.float32), np.zeros(r * PLACES, np.float32)
        inverse[cell] = ONE / deviation.reshape(-1)[cell]  # 0 of those that are absent
        scaled[cell] = z[inside]
        scaled *= inverse
        matrix = np.multiply(*_crossed(inverse.reshape(r, PLACES))).astype(np.float64)
        matrix *= joint.astype(np.float64)
        matrix *= KEPT
        matrix[:, ::_ACROSS] = 1.0
        square = matrix.reshape(r, PLACES, PLACES)
        solved = np.linalg.solve(square, scaled.reshape(r, PLACES, 1)).reshape(r, PLACES)
        parts = (scaled.reshape(r, PLACES) * solved).astype(np.float32)
        known = devices["joint_n"]
        squared = np.add.reduce(parts, axis=1) / (np.maximum(count, ONE) * (ONE + CAUTION / (known + ONE)))
        squared = between(squared, NOTHING, FURTHEST)
        share[inside] = np.maximum(parts.reshape(-1)[cell], NOTHING)
        counts = devices["joint_counts"].T[None].copy()
        nats = several * surprise(JOINT_SCALE, counts, devices["joint_counted"], squared[None])[0]
        flagged = several & (squared > GATE) & (known > FEW)
        _count(devices, counts, squared, flagged, several)
    _learn(devices, block, _Step(away, seen.value, n, young, row, flat, ranked, joint, deviation, flagged))
    return Joined(nats.astype(np.float32), share)


class _Step(NamedTuple):
    away: F32
    value: F32
    n: F32
    young: F32
    row: I64
    flat: I64
    ranked: Bools
    joint: F32
    deviation: F32
    flagged: Bools


def _count(devices: NDArray[np.void], counts: F32, squared: F32, flagged: Bools, several: Bools) -> None:
    wild = devices["joint_wild"]
    wild += several
    wild *= flagged | ~several
    counted = several & ((wild <= ONE) | (wild > LASTING))
    count_in(JOINT_SCALE, counts, devices["joint_counted"], squared[None], counted)
    devices["joint_counts"] = counts[0].T
    devices["joint_n"] += several


def _learn(devices: NDArray[np.void], block: F32, step: _Step) -> None:
    """Places, spreads and correlations, from what is not flagged or has lasted."""
    r, row = devices.size, step.row
    lasting = devices["joint_wild"] > LASTING
    quick = np.where(lasting, QUICK, LEARN)[row] if np.count_nonzero(lasting) else LEARN
    rate = np.maximum(step.young, quick)
    if np.count_nonzero(step.flagged):
        rate *= (~step.flagged | lasting)[row]
    centre, variance = block[CENTRE], block[VARIANCE]
    guarded = step.n > GUARD
    usual = np.sqrt(variance) * step.deviation.reshape(-1)[step.flat]
    bound = np.where(guarded, CLIP * usual, NONE)
    moved = between(step.away, -bound, bound)
    centre += rate * moved
    square = np.square(step.value - centre)
    most = np.where(guarded, CLIP * CLIP * variance, NONE)
    variance += rate * (np.minimum(square, most) - variance)
    unit = between(moved / (np.sqrt(variance) + _TINY), LEAST_UNIT, MOST)
    own, speed = np.zeros((2, r, PLACES), np.float32)
    taking = step.flat
    if np.count_nonzero(step.ranked) < taking.size:
        taking, unit, rate = taking[step.ranked], unit[step.ranked], rate[step.ranked]
    own.reshape(-1)[taking], speed.reshape(-1)[taking] = unit, rate
    both = np.minimum(*_crossed(speed))
    both *= np.multiply(*_crossed(own)) - step.joint
    devices["joint"] = step.joint + both


def _crossed(each: F32) -> tuple[F32, F32]:
    """What each cell (r, PLACES²) of a matrix is of: rows and columns (r, PLACES); quicker than broadcasting a few."""
    return each.take(_ROW, axis=1), each.take(_COLUMN, axis=1)
