"""What is normal for each series, learnt one reading at a time in O(1), over many series at once.

Levels are exponentially weighted means over counts of readings, so that nothing depends on the time step; only the
daily profile (season.py) knows the clock. Each of three distances is measured in units of its own usual size, which
keeps correlated and drifting series quiet:

    residual    |value - fast level|                / robust spread of residuals
    shift       |fast level - slow level - usual|   / robust spread of that difference
    volatility  |log(short spread / long) - usual|  / robust spread of that ratio

Spreads are mean absolute deviations times 1.2533 (= sqrt(pi/2), the standard deviation of a Gaussian), of values
clipped at four spreads, as in Huber's M-estimator of scale (Robust Statistics, 1981, ch. 5).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.season import DayClock, accumulate, seasonal
from watchkeeper.detection.series import EDGES, F64, I64, TAILS, Bools, SeriesTable

VALUE_LIMIT = 1e290
"""Greater values are taken as this one, so that differences and ratios stay finite."""

FAST, SLOW, SHORT, SPREAD, DRIFT, USUAL = 1 / 8, 1 / 256, 1 / 16, 1 / 256, 1 / 1024, 1 / 512
RELEARN = 1 / 16
CLIP, GATE = 4.0, 6.0
SETTLE = 20
GAUSS = 1.2533141373155003
TINY = 1e-290
Z_LIMIT = 1e9
TAIL_FULL = 8192
_DOUBLINGS = 2.0 ** np.arange(65)

OBSERVED = (
    "n",  # readings learnt before this one
    "z_residual",
    "z_shift",
    "z_volatility",
    "louder",  # log ratio of short to usual spread, signed
    "rate",  # change since the last reading, in spreads
    "repeats",
    "longest",
    "repeating",
    "near",  # value expected from the fast level
    "normal",  # value expected from the slow level and the trend
    "near_spread",
    "normal_spread",
)
SEEN = {name: row for row, name in enumerate(OBSERVED)}


class Reading(NamedTuple):
    """One reading of each of n distinct series, measured and learnt from at once.

    slots  int64 (n), of a SeriesTable; x  float64 (n), finite, within VALUE_LIMIT
    clock  whose entries `at` belong to these readings
    learn  bool (n): False where a reading may only be measured; None: learn from all
    """

    slots: I64
    x: F64
    clock: DayClock
    at: slice
    learn: Bools | None


def observe(  # noqa: PLR0915 - a page of formulas, in their order
    table: SeriesTable, reading: Reading, relearn: int, out: F64, counts: NDArray[np.uint16]
) -> None:
    """Measure one reading of each series against its past, then learn from it.

    out    float64 (OBSERVED, n), filled here
    counts uint16 (n, 3, 18), filled with the tail counts before these readings
    """
    slots, x, clock, at, learn = reading
    block = table.num[:, slots]
    (n, last, fast, slow, spread, short, drift, drift_spread, vol, vol_spread, outside, wild) = block[:12]
    step, changes, repeats, longest, repeating, _, gain = block[12:19]
    middle = block[27]

    if gain.any():
        season = seasonal(table, slots, gain, middle, clock.left[at], clock.right[at], clock.weight[at])
        y = x - season
    else:
        season = np.zeros(x.size)
        y = x
    first = n == 0
    if first.any():
        for field, value in ((last, x), (fast, y), (slow, y)):
            field[first] = value[first]
    young = 1.0 / (n + 1.0)

    move = np.abs(x - last)
    moved = move > 0
    grain = np.abs(slow) * (0.01 / (1.0 + changes) + 1e-9)
    scale = np.maximum(np.maximum(GAUSS * spread, 0.5 * step), np.maximum(grain, TINY))
    residual = y - fast
    size = np.abs(residual)
    z = np.empty((TAILS, x.size))
    z[0] = size / scale

    limit = CLIP * scale * _DOUBLINGS[outside.astype(np.int64)]
    limit[n < SETTLE] = np.inf
    drift_scale = np.maximum(GAUSS * drift_spread, 0.3 * scale)
    out[9], out[10] = fast + season, slow + drift + season
    out[11], out[12] = scale, scale + drift_scale
    out[0] = n
    out[5] = move / scale
    out[7] = longest

    fast += np.maximum(young, FAST) * np.clip(residual, -limit, limit)
    gap = fast - slow
    off = gap - drift
    z[1] = np.abs(off) / drift_scale

    short += np.maximum(young, SHORT) * (np.minimum(size, 2.0 * CLIP * scale) - short)
    louder = np.log(GAUSS * short / scale + 0.05) - vol
    vol_scale = np.maximum(GAUSS * vol_spread, 0.15)
    z[2] = np.abs(louder) / vol_scale
    np.minimum(z, Z_LIMIT, out=z)

    flagged = (np.maximum(z[0], z[1]) > GATE) & (n >= SETTLE)
    wild += 1.0
    wild *= flagged
    lasting = wild > relearn
    open_to = ~flagged | lasting
    quick = np.where(lasting, RELEARN, young)
    slow += open_to * np.maximum(quick, SLOW) * gap
    spread += open_to * np.maximum(quick, SPREAD) * (np.minimum(size, limit) - spread)
    drift += open_to * np.maximum(young, DRIFT) * np.clip(off, -3.0 * drift_scale, 3.0 * drift_scale)
    usual = open_to * np.maximum(young, USUAL)
    drift_spread += usual * (np.minimum(np.abs(off), CLIP * drift_scale) - drift_spread)
    vol += usual * np.clip(louder, -3.0 * vol_scale, 3.0 * vol_scale)
    vol_spread += usual * (np.minimum(np.abs(louder), CLIP * vol_scale) - vol_spread)
    outside += 1.0
    outside *= z[0] > CLIP
    np.minimum(outside, 64.0, out=outside)

    ended = moved & (repeats > longest)
    longest[ended] = repeats[ended]
    repeats += 1.0
    repeats *= ~moved
    stuck = (repeats > 10.0) & (longest > 0)
    repeating += ~stuck * np.maximum(young, DRIFT) * (~moved - repeating)
    worn = repeats > 10.0 * relearn
    longest[worn] = repeats[worn]
    step[moved] = np.where(step[moved] > 0, np.minimum(step[moved], move[moved]), move[moved])
    changes += moved
    last[:] = x
    n += 1.0
    out[6], out[8] = repeats, repeating

    out[1:4] = z
    counts[:] = table.counts[slots]
    out[4] = louder

    keep = np.arange(x.size) if learn is None else np.flatnonzero(learn)
    _count(table, slots[keep], z[:, keep], (wild <= 1.0)[keep])
    if learn is None:
        accumulate(table, slots, block, x, clock.hour[at], open_to)
        table.num[:, slots] = block
    elif keep.size:
        kept = np.ascontiguousarray(block[:, keep])
        accumulate(table, slots[keep], kept, x[keep], clock.hour[at][keep], open_to[keep])
        table.num[:, slots[keep]] = kept


def _count(table: SeriesTable, slots: I64, z: F64, counted: Bools) -> None:
    """Count z (3, n) into the tails; of a flagged stretch only the first reading counts."""
    beyond = (z.T[:, :, None] >= EDGES) & counted[:, None, None]
    counts = table.counts[slots] + beyond
    full = counts[:, 0, 0] >= TAIL_FULL
    if full.any():
        counts[full] >>= 1
    table.counts[slots] = counts
