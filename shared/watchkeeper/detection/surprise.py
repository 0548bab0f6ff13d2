"""From distances to surprises: -log of the share of a series' own readings at least as far, without labels.

A conformal p-value (Vovk et al., Algorithmic Learning in a Random World, 2005, ch. 2) from counts at a few bounds that
double, and from a prior that is worth some readings: between two bounds, and beyond the last, log p runs straight in
log distance.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.series import F32, Bools, between, constant

TINY, ZERO, ONE = constant(1e-9), constant(0.0), constant(1.0)


class Scale(NamedTuple):
    """Bounds (bins, 1) that double from `first`; what is believed before any reading; the count at which all halve.

    weight  (tails, 1): the readings that the prior is worth; prior (tails, bins, 1): those of them beyond each bound
    """

    inverse: F32  # of `first`
    last: F32  # lower bound of the last two, by number
    bounds: F32
    weight: F32
    prior: F32
    full: F32


def scale_of(first: float, weights: Sequence[float], beyond: Sequence[Sequence[float]], full: float) -> Scale:
    """Bounds at first, 2 first, 4 first …; `beyond` (tails, bins): how many of `weights` (tails) readings are there."""
    prior = np.asarray(beyond, np.float32)[:, :, None]
    bounds = (first * 2.0 ** np.arange(prior.shape[1])).astype(np.float32)[:, None]
    weight = np.asarray(weights, np.float32)[:, None]
    return Scale(constant(1.0 / first), constant(prior.shape[1] - 2), bounds, weight, prior, constant(full))


def surprise(scale: Scale, counts: F32, total: F32, z: F32) -> F32:
    """Nats (tails, n) of distances z (tails, n), given counts (tails, bins, n) among total (n) readings."""
    tails, bins, width = counts.shape
    share = z * scale.inverse
    at = np.log2(np.maximum(share, TINY))
    below = between(at, ZERO, scale.last).astype(np.int32)
    place = below * width
    place += _corners(tails, bins, width)
    known = np.log(counts + scale.prior).reshape(-1)
    low = np.log(total + scale.weight)
    step = known.take(place)
    low -= step
    place += width
    step -= known.take(place)
    inner = np.minimum(share, ONE)
    inner *= low
    at -= below
    step *= at
    low += step
    nats: F32 = np.where(share < ONE, inner, low)
    return nats


def count_in(scale: Scale, counts: F32, total: F32, z: F32, counted: Bools) -> None:
    """Take distances z (tails, n) into counts (tails, bins, n) and total (n) where counted (n), in place."""
    counts += (z[:, None, :] >= scale.bounds) & counted
    total += counted
    full = (total >= scale.full).nonzero()[0]
    if full.size:
        counts[:, :, full] = np.floor(counts[:, :, full] / 2)
        total[full] = np.floor(total[full] / 2)


@lru_cache(maxsize=64)
def _corners(tails: int, bins: int, width: int) -> NDArray[np.int32]:
    """Where the counts of each tail and series begin in a flat (tails, bins, width)."""
    corner = np.add.outer(np.arange(tails, dtype=np.int32) * np.int32(bins * width), np.arange(width, dtype=np.int32))
    corner.setflags(write=False)
    return np.asarray(corner, np.int32)
