"""From distances to surprises: -log of the share of a series' own readings at least as far, without labels.

A conformal p-value (Vovk et al., Algorithmic Learning in a Random World, 2005, ch. 2) from counts at a few bounds that
double: between two bounds, and beyond the last, log p runs straight in log distance, as it does for a power law.
"""

from typing import NamedTuple

import numpy as np

from watchkeeper.detection.series import F32, Bools, between

PRIOR = np.float32(95.0)
"""Readings' worth of belief in the prior: half beyond the first bound, a fifth of that beyond each next one."""


class Scale(NamedTuple):
    """Bounds (bins, 1) that double, the prior's counts beyond each, and the count at which all are halved."""

    first: float
    bounds: F32
    prior: F32
    full: float


def scale_of(first: float, bins: int, full: float) -> Scale:
    """Bounds at first, 2 first, 4 first and so on."""
    steps = np.arange(bins, dtype=np.float32)
    bounds = (np.float32(first) * np.float32(2.0) ** steps).astype(np.float32)
    prior = (PRIOR * np.float32(0.5) * np.float32(0.2) ** steps).astype(np.float32)
    return Scale(first, bounds[:, None], prior, full)


def surprise(scale: Scale, counts: F32, total: F32, z: F32) -> F32:
    """Nats (tails, n) of distances z (tails, n), given counts (tails, bins, n) among total (n) readings."""
    tails, bins, width = counts.shape
    all_of = np.log(total + PRIOR)
    share = z * np.float32(1.0 / scale.first)
    at = np.log2(np.maximum(share, np.float32(1e-9)))
    below = between(at, 0.0, bins - 2).astype(np.int32)
    place = below * width + (np.arange(tails, dtype=np.int32) * (bins * width))[:, None]
    place += np.arange(width, dtype=np.int32)
    flat = counts.reshape(-1)
    low = all_of - np.log(flat.take(place) + scale.prior.take(below))
    place += width
    high = all_of - np.log(flat.take(place) + scale.prior.take(below + 1))
    nats: F32 = low + (at - below) * (high - low)
    return np.where(at < 0, np.minimum(share, 1.0) * low, nats)


def count_in(scale: Scale, counts: F32, total: F32, z: F32, counted: Bools) -> None:
    """Take distances z (tails, n) into counts (tails, bins, n) and total (n) where counted (n), in place."""
    counts += (z[:, None, :] >= scale.bounds) & counted
    total += counted
    full = np.flatnonzero(total >= scale.full)
    if full.size:
        counts[:, :, full] = np.floor(counts[:, :, full] / 2)
        total[full] = np.floor(total[full] / 2)
