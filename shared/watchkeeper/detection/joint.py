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
from watchkeeper.detection.series import F32, I64, INDEX, Bools, between
from watchkeeper.detection.surprise import count_in, scale_of, surprise

SMOOTH, LEARN, QUICK = np.float32(1 / 8), np.float32(1 / 3000), np.float32(1 / 64)
SHRINK, CAUTION, CLIP, GATE = np.float32(0.05), np.float32(200.0), np.float32(4.0), np.float32(2.5)
MOST = np.float32(50.0)
WORTH = np.float32(0.75)
"""A joint surprise counts for less: smoothed distances of one device stay where they are for a while."""
FEW = 30
"""Readings of a metric before it takes part."""
LASTING = 600
"""Readings after which flagged places are taken for the new usual ones."""
FIRST_BOUND, JOINT_BINS = 0.25, 8
JOINT_SCALE = scale_of(FIRST_BOUND, JOINT_BINS, 4096.0)
_ROW, _COLUMN = np.triu_indices(PLACES)
_DIAGONAL = np.flatnonzero(_ROW == _COLUMN)
_TINY = np.float32(1e-30)


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
    smooth, centre, variance = (block[INDEX[name]] for name in ("smooth", "centre", "variance"))
    young = np.float32(1.0) / (seen.n + np.float32(1.0))
    smooth += np.maximum(SMOOTH, young) * (seen.value - smooth)
    away = smooth - centre
    spread = np.sqrt(variance) + _TINY
    known = seen.n > 20
    z = between(away / spread, -MOST, MOST)

    inside = np.flatnonzero((place < PLACES) & (seen.n >= FEW))
    flat = row[inside] * PLACES + place[inside]
    packed = np.ascontiguousarray(devices["joint"])
    nats, share = np.zeros(r, np.float32), np.zeros(row.size, np.float32)
    count = np.bincount(row[inside], minlength=r).astype(np.float32)
    several = count >= 2
    flagged = np.zeros(r, bool)
    n = devices["joint_n"].copy()
    if several.any():
        deviation = np.sqrt(packed[:, _DIAGONAL] + np.float32(1e-9))
        scaled = np.zeros((r, PLACES), np.float32)
        scaled.reshape(-1)[flat] = z[inside]
        scaled /= deviation
        present = np.zeros((r, PLACES), bool)
        present.reshape(-1)[flat] = True
        matrix = np.zeros((r, PLACES, PLACES), np.float32)
        cells = packed / (deviation[:, _ROW] * deviation[:, _COLUMN]) * (np.float32(1.0) - SHRINK)
        cells *= present[:, _ROW] & present[:, _COLUMN]
        matrix[:, _ROW, _COLUMN] = cells
        matrix[:, _COLUMN, _ROW] = cells
        ones = np.arange(PLACES)
        matrix[:, ones, ones] = 1.0
        solved = np.linalg.solve(matrix.astype(np.float64), scaled[:, :, None])[:, :, 0]
        parts = (scaled * solved).astype(np.float32)
        squared = parts.sum(axis=1) / np.maximum(count, 1.0) / (np.float32(1.0) + CAUTION / (n + 1.0))
        squared = between(squared, 0.0, np.float32(1e6))
        share[inside] = np.maximum(parts.reshape(-1)[flat], 0.0)
        counts = np.ascontiguousarray(devices["joint_counts"].T)[None]
        nats = np.where(several, surprise(JOINT_SCALE, counts, devices["joint_counted"], squared[None])[0], 0.0)
        nats = WORTH * nats.astype(np.float32)
        flagged = several & (squared > GATE) & (n > FEW)
        _count(devices, counts, squared, flagged, several)
    _learn(devices, block, _Step(away, variance, row, place, packed, seen, known, flagged))
    return Joined(nats, share)


class _Step(NamedTuple):
    away: F32
    variance: F32
    row: I64
    place: I64
    packed: F32
    seen: Observed
    known: Bools
    flagged: Bools


def _count(devices: NDArray[np.void], counts: F32, squared: F32, flagged: Bools, several: Bools) -> None:
    wild = devices["joint_wild"]
    wild += 1.0
    wild *= flagged
    counted = several & ((wild <= 1.0) | (wild > LASTING))
    count_in(JOINT_SCALE, counts, devices["joint_counted"], squared[None], counted)
    devices["joint_counts"] = counts[0].T
    devices["joint_n"] += several


def _learn(devices: NDArray[np.void], block: F32, step: _Step) -> None:
    """Places, spreads and correlations, from what is not flagged or has lasted."""
    r = devices.size
    lasting = devices["joint_wild"] > LASTING
    opened = ~step.flagged | lasting
    n, row = step.seen.n, step.row
    rate = np.maximum(np.float32(1.0) / (n + np.float32(1.0)), np.where(lasting[row], QUICK, LEARN)) * opened[row]
    centre = block[INDEX["centre"]]
    deviation = np.sqrt(step.packed[:, _DIAGONAL] + np.float32(1e-9))
    at = np.minimum(step.place, PLACES - 1)
    spread = np.sqrt(step.variance)
    bound = np.where(n > GUARD_READINGS, CLIP * spread * deviation[row, at], np.float32(np.inf))
    moved = between(step.away, -bound, bound)
    centre += rate * moved
    square = np.square(step.seen.value - centre)
    most = np.where(n > GUARD_READINGS, CLIP * CLIP * step.variance, np.float32(np.inf))
    step.variance[:] += rate * (np.minimum(square, most) - step.variance)
    unit = between(moved / (np.sqrt(step.variance) + _TINY), -MOST, MOST)
    taking = np.flatnonzero(step.place < PLACES)
    flat = row[taking] * PLACES + step.place[taking]
    own = np.zeros((r, PLACES), np.float32)
    own.reshape(-1)[flat] = unit[taking]
    speed = np.zeros((r, PLACES), np.float32)
    speed.reshape(-1)[flat] = rate[taking]
    both = np.minimum(speed[:, _ROW], speed[:, _COLUMN])
    step.packed[:] += both * (own[:, _ROW] * own[:, _COLUMN] - step.packed)
    devices["joint"] = step.packed


GUARD_READINGS = 50
"""Readings after which deviations are clipped before they are learnt."""
