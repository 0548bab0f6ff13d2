"""What trends (trends.py) say of the time ahead: the expected value and its band, and when a level will be crossed.

The drift of a random walk is believed where it differs from none by SURE standard deviations (Student's t turned into
a normal deviate: Wallace, Annals of Mathematical Statistics 30, 1959), and where the value has gone further than it has
ever come back from. It is damped as much as it has lately slowed down for certain (Gardner and McKenzie, Management
Science 31, 1985), and goes no further ahead than HORIZONS times as long as it has been seen.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.forecasting.trends import MINUTE_MS, MINUTES, MOST_N, SCALES, season_known, seasonal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from watchkeeper.packs import Floats

SURE = 5.0
"""Standard deviations from no drift: one in 3.5 million."""
LEAST_N = (8, 8, 6)
"""Increments that a trend of each scale takes at the least."""
HORIZONS, UNSURE_HORIZONS = 2.0, 0.5
"""… of the middle scale while the time of day is not known yet: a morning looks like a trend."""
LAG = 6.0
"""Blocks that lie between what the mean and the quick mean of increments stand for."""
QUICK_N = 7.0
BAND = 1.2816
"""Half the width of the band in standard deviations: eight in ten values are within."""
STEPS = 64
_NORMAL = NormalDist()


class Outlook(NamedTuple):
    """From `start` on (epoch ms, the end of the last minute): times, what is expected, and its band: (STEPS) each."""

    start: int
    ts: Floats
    expected: Floats
    low: Floats
    high: Floats


class Crossing(NamedTuple):
    """A level will be crossed `in_ms` from now, with eight in ten chances between `early` and `late` (None: not known).

    `confidence`: that it will be crossed within the horizon, 0..1; `rate`: change in a day.
    """

    in_ms: int
    early: int
    late: int | None
    confidence: float
    level: float
    rate: float


def deviates(records: NDArray[np.void]) -> Floats:
    """How sure each scale's drift is, in standard deviations with its sign: (series, SCALES); 0 where it is unknown."""
    n, mean = records["n"].astype(np.float64), records["mean"]
    with np.errstate(all="ignore"):
        t = mean * np.sqrt(n) / np.sqrt(_spread(records))
        nu = np.maximum(n - 1, 1)
        z = np.sign(t) * (8 * nu + 1) / (8 * nu + 3) * np.sqrt(nu * np.log1p(t * t / nu))
    z[np.isnan(z)] = 0.0  # neither drift nor spread
    z[np.isinf(t) & (mean != 0)] = (np.sign(mean) * 1e3)[np.isinf(t) & (mean != 0)]
    found: Floats = np.where(n >= LEAST_N, np.clip(z, -1e3, 1e3), 0.0)
    return found


def heading(records: NDArray[np.void], drift: Floats, sign: int, sure: float = SURE) -> NDArray[np.bool_]:
    """Which scales of which series head up (sign 1) or down (-1), further than the value has ever come back from.

    drift  their `deviates`
    """
    run = records["run"][:, 1] - records["run"][:, 0] if sign > 0 else records["run"][:, 3] - records["run"][:, 2]
    return np.asarray((sign * drift >= sure) & (run > records["reach"][:, 0 if sign > 0 else 1])[:, None])


def outlook(record: NDArray[np.void], scale: int | None, horizon_ms: int) -> Outlook:
    """What to expect of one series (an array of one record) until `horizon_ms` from its last minute on.

    scale  whose drift to follow; None: there is none that can be believed, and only the time of day counts.
    """
    ahead, expected, deviation = _ahead(record, scale, horizon_ms)
    half = BAND * deviation
    start = (int(record["last_at"][0, 0]) + 1) * MINUTE_MS
    return Outlook(start, start + ahead, expected, expected - half, expected + half)


def well_known(record: NDArray[np.void]) -> bool:
    """Has one series been seen for long enough on any scale to say how much it varies?"""
    return bool((record["n"][0] >= LEAST_N).any())


def best_scale(record: NDArray[np.void], horizon_ms: int) -> int | None:
    """The scale to follow over a horizon: the longest whose drift is sure and seen for long enough, else none."""
    sure = np.abs(deviates(record))[0] >= SURE
    fitting = [scale for scale in range(SCALES) if sure[scale] and _reach_ms(record, scale) >= horizon_ms]
    return fitting[-1] if fitting else None


def crossing(
    record: NDArray[np.void], scale: int, level: float, sign: int, horizon_ms: int, least: float
) -> Crossing | None:
    """When one series (an array of one record) will be above (sign 1) or below (-1) a level, by one scale's drift.

    None: not within the horizon, or with less confidence than `least`.
    """
    horizon = min(horizon_ms, _reach_ms(record, scale))
    now = float(record["last"][0, 0])
    ahead, expected, deviation = _ahead(record, scale, horizon)
    gap = sign * (level - expected)
    with np.errstate(all="ignore"):
        chance = np.where(deviation > 0, -gap / deviation, np.where(gap <= 0, np.inf, -np.inf))
    confidence = _NORMAL.cdf(float(np.clip(chance.max(initial=-np.inf), -9, 9)))
    reached = np.flatnonzero(gap <= 0)
    if not reached.size or confidence < least or sign * (level - now) <= 0:
        return None
    early = np.flatnonzero(gap <= BAND * deviation)
    late = np.flatnonzero(gap <= -BAND * deviation)
    rate = float(record["mean"][0, scale]) * 1440 / MINUTES[scale]
    times = (int(ahead[early[0]]), int(ahead[late[0]]) if late.size else None)
    return Crossing(int(ahead[reached[0]]), *times, min(confidence, 0.999), now, rate)


def _reach_ms(record: NDArray[np.void], scale: int) -> int:
    """How far ahead a scale's drift may be followed."""
    times = UNSURE_HORIZONS if scale == 1 and not season_known(record)[0] else HORIZONS
    return round(times * float(min(record["n"][0, scale] + 1, MOST_N + 1)) * MINUTES[scale] * MINUTE_MS)


def _spread(records: NDArray[np.void]) -> Floats:
    """Long-run variance of an increment: with its first autocovariance (Newey and West, Econometrica 55, 1987)."""
    n = records["n"].astype(np.float64)
    variance = records["variance"] * n / np.maximum(n - 1, 1)
    found: Floats = np.maximum(variance + records["covariance"], 0.1 * variance)
    return found


def _ahead(record: NDArray[np.void], scale: int | None, horizon_ms: float) -> tuple[Floats, Floats, Floats]:
    """Times from the last minute on (ms), expected values, and their standard deviations: (STEPS)."""
    ahead = horizon_ms * (np.arange(STEPS) + 1.0) / STEPS
    minutes, now = ahead / MINUTE_MS, float(record["last_at"][0, 0]) + 0.5
    same = np.repeat(record, STEPS)
    season = seasonal(same, np.full(STEPS, now), now + minutes)
    of = scale if scale is not None else next((s for s in (1, 0, 2) if record["n"][0, s] >= LEAST_N[s]), 0)
    n = max(float(record["n"][0, of]), 1.0)
    variance = float(_spread(record)[0, of])
    blocks = minutes / MINUTES[of]
    level = float(record["last"][0, 0])
    with np.errstate(all="ignore"):
        drift = 0.0 if scale is None else float(record["mean"][0, of])
        far = blocks if scale is None else _damped(record, of, blocks, math.sqrt(variance))
        deviation = np.sqrt(variance * (blocks + (0.0 if scale is None else 1.0) * blocks**2 / n))
        expected = level + drift * far + season
    return ahead, np.clip(expected, -1e300, 1e300), np.nan_to_num(deviation, posinf=1e300)


def _damped(record: NDArray[np.void], scale: int, blocks: Floats, spread: float) -> Floats:
    """How many blocks of undamped drift these come to."""
    mean = abs(float(record["mean"][0, scale]))
    quick = math.copysign(1.0, float(record["mean"][0, scale])) * float(record["quick"][0, scale])
    share = (quick + spread / math.sqrt(QUICK_N)) / mean if mean > 0 else 1.0
    if share >= 1:
        return blocks
    kept = max(share, 0.01) ** (1 / LAG)
    found: Floats = kept * (1 - kept**blocks) / (1 - kept)
    return found
