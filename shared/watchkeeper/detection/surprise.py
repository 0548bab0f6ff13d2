"""From distances to surprises: -log of the chance of a distance at least as great, without labels.

Up to BEND scales the chance is the series' own share of readings, a conformal p-value (Vovk et al., Algorithmic
Learning in a Random World, 2005, ch. 2). Beyond, where few readings have been, it follows a generalised Pareto tail
fitted by moments (Hosking and Wallis, Technometrics 29, 1987) to the counts beyond BEND: heavy for a series that often
strays, so that an outlier surprises little there, light for a well-behaved one.
"""

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import SEEN
from watchkeeper.detection.series import EDGES, F64, TAILS

PRIOR = 20.0
"""Readings' worth of belief in the prior tail: a share PRIOR_SHARE beyond BEND, exponential with mean PRIOR_MEAN."""
PRIOR_SHARE, PRIOR_MEAN, PRIOR_SHAPE = 0.05, 1.0, 0.2
LIGHTEST, HEAVIEST = 0.05, 0.6
TOLERANCE = 2.75
"""Nats that are not worth a mention: only what is above counts towards a score."""
MOST, FLAT_MOST = 25.0, 25.0
BEND_AT = 4
BEND = float(EDGES[BEND_AT])
_TOPS: F64 = np.append(EDGES[BEND_AT:-1], 2.0 * EDGES[-2])
_WIDTH: F64 = np.diff(_TOPS)
_LEVER: F64 = _WIDTH * (_TOPS[1:] + _TOPS[:-1] - 2.0 * BEND)


def excess(seen: F64, counts: NDArray[np.uint16], warm_readings: int) -> F64:
    """Surprise above the tolerance of each tail and of a stuck value, in nats: (4, n), 0 where still warming.

    seen    float64 (OBSERVED, n) as baseline.observe fills it
    counts  uint16 (n, 3, 18): the tail counts of each series before its reading
    """
    z = np.ascontiguousarray(seen[1 : 1 + TAILS])
    tails = np.ascontiguousarray(counts.transpose(1, 0, 2), np.float64)
    total = tails[:, :, 0]
    own = (tails[:, :, BEND_AT] + PRIOR * PRIOR_SHARE) / (total + PRIOR)
    out = np.zeros((TAILS + 1, z.shape[1]))
    nats = np.where(z < BEND, -np.log(_within(z, tails, total)), _pareto(z, tails) - np.log(own))
    out[:TAILS] = np.clip(nats - TOLERANCE, 0.0, MOST)
    out[TAILS] = _stuck(seen)
    out *= seen[SEEN["n"]] >= warm_readings
    return out


def _within(z: F64, tails: F64, total: F64) -> F64:
    """The share of readings beyond z < BEND, between the counts at the bounds below and above."""
    bins = np.minimum(np.searchsorted(EDGES, z, side="right") - 1, BEND_AT)
    at = np.take_along_axis(tails, bins[:, :, None], 2)[:, :, 0]
    above = np.take_along_axis(tails, bins[:, :, None] + 1, 2)[:, :, 0]
    part = np.minimum((z - EDGES[bins]) / (EDGES[bins + 1] - EDGES[bins]), 1.0)
    share: F64 = (at + part * (above - at) + PRIOR * PRIOR_SHARE) / (total + PRIOR)
    return np.minimum(share, 1.0)


def _pareto(z: F64, tails: F64) -> F64:
    """-log P(beyond z | beyond BEND), for z >= BEND, by a tail fitted to the mean and variance of what was beyond."""
    beyond = tails[:, :, BEND_AT]
    middle = 0.5 * (tails[:, :, BEND_AT:-1] + tails[:, :, BEND_AT + 1 :])
    area = np.zeros_like(beyond)
    moment = np.zeros_like(beyond)
    for column in range(_WIDTH.size):
        area += middle[:, :, column] * _WIDTH[column]
        moment += middle[:, :, column] * _LEVER[column]
    weight = beyond + PRIOR * 0.5
    mean = (area + PRIOR * 0.5 * PRIOR_MEAN) / weight
    square = (moment + PRIOR * 0.5 * PRIOR_MEAN**2 * 2.0 / (1.0 - 2.0 * PRIOR_SHAPE) * (1.0 - PRIOR_SHAPE)) / weight
    ratio = mean * mean / np.maximum(square - mean * mean, 1e-9)
    shape = np.clip(0.5 * (1.0 - ratio), LIGHTEST, HEAVIEST)
    scale = mean * (1.0 - shape)
    return np.log(1.0 + shape * np.maximum(z - BEND, 0.0) / scale) / shape


def _stuck(seen: F64) -> F64:
    """A value repeated r times by a series that repeats itself with chance c: -r log c, once r is beyond its record."""
    repeats, longest, n = seen[SEEN["repeats"]], seen[SEEN["longest"]], seen[SEEN["n"]]
    chance = (seen[SEEN["repeating"]] * n + 1.0) / (n + 2.0)
    surprise = -repeats * np.log(np.minimum(chance, 1.0))
    stuck: F64 = np.where(repeats > 3.0 * longest + 10.0, np.clip(surprise - TOLERANCE, 0.0, FLAT_MOST), 0.0)
    return stuck
