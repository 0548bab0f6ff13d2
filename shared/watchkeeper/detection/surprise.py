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

from watchkeeper.detection.series import F32, Bools, constant

ONE, NOWHERE = constant(1.0), constant(-1.0)


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
    at = np.maximum(share, ONE)
    np.log2(at, out=at)
    floor = np.floor(np.minimum(at, scale.last))
    place = floor.astype(np.intp) * width + _corners(tails, bins, width)
    known = np.log((counts + scale.prior).take(place))
    nats: F32 = np.log(total + scale.weight)
    nats -= known[0]
    at -= floor
    at *= known[0] - known[1]
    nats += at
    nats *= np.minimum(share, ONE)  # below the first bound it runs straight in the distance itself, from 0
    return nats


def count_in(scale: Scale, counts: F32, total: F32, z: F32, counted: Bools) -> None:
    """Take distances z (tails, n) into counts (tails, bins, n) and total (n) where counted (n), in place."""
    every = np.count_nonzero(counted) == counted.size
    beyond = (z if every else np.where(counted, z, NOWHERE))[:, None, :] >= scale.bounds
    counts += beyond.astype(np.float32)  # numpy takes far longer to add what it has to convert
    total += ONE if every else counted
    full = total >= scale.full
    if np.count_nonzero(full):
        counts[:, :, full] = np.floor(counts[:, :, full] / 2)
        total[full] = np.floor(total[full] / 2)


@lru_cache(maxsize=64)
def _corners(tails: int, bins: int, width: int) -> NDArray[np.intp]:
    """Where the counts of each tail and series begin in a flat (tails, bins, width), and those of the next bins."""
    corner = np.add.outer(np.arange(tails) * bins * width, np.arange(width))
    corner = np.stack([corner, corner + width])
    corner.setflags(write=False)
    return corner
