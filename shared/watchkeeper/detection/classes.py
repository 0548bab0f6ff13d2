"""What devices of one class have in common: where their metrics are, how they change, and how people judged alerts.

A device that is new has no past of its own. Until a metric has YOUNG readings, its values are also held against the
range that the settled devices of its class show, and its changes against theirs; the weight of that fades as its own
history grows. What people said of a class' episodes moves the bar of all its devices, within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from watchkeeper.detection.baseline import BEYOND, GAUSS, PRIOR, YOUNG
from watchkeeper.detection.series import BINS, EDGES, F32, F64, I64, INDEX, Bools
from watchkeeper.detection.surprise import scale_of, surprise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CLASSES = "models/classes"
"""Where it is published, for all tenants and classes."""
FEWEST = 3
"""Settled devices without which nothing is said of a metric."""
SETTLED = 200
"""Readings of a metric before its device counts as settled."""
FEW_DEVICES = 4.0
"""A unit of distance is (1 + FEW_DEVICES / devices) times as long: three devices' range says little of a fourth."""
LEAST_SHARE = 0.01
"""The least unit, as a share of the level: what is constant over all devices is known no better."""
TRIMMED = 0.05
"""Share of the devices at either end that the range leaves out."""
BAR_NATS = 9.0
"""Nats that are a bar here, whatever the device's own is: it has none worth the name yet."""
JUMP_MOST = 1.5
"""A change alone counts for no more than this many bars: it never alerts early."""
EARLY_BARS, EARLY_READINGS = 2.0, 3
"""What a class says opens an episode only from the third reading of a metric on, and only so many bars out."""
REJECTED_TARGET = 0.3
"""Share of reviewed episodes that may be false alarms: with just so many, the bar stays where it is."""
LOWEST, HIGHEST = 0.8, 1.5
"""What the bar of a class is multiplied by at the least and at the most."""
BELIEVED = 10.0
"""Reviews that the target is worth; one person's verdicts on a class count for as many at the most."""
_LEVELS = scale_of(float(EDGES[0]), PRIOR[:1], BEYOND[:1], 16384.0)


class MetricPrior(msgspec.Struct, frozen=True, array_like=True):
    """A metric over the settled devices of a class, in its unit.

    low, high  between them are the values of all (but for the trimmed ends): levels, three deviations on either side
    unit       what a distance from that range is measured in
    change     usual size of a change from one reading to the next
    beyond     residuals of `counted` at or beyond each of EDGES, in usual sizes, as the tails of the series have them
    """

    low: float
    high: float
    unit: float
    change: float
    devices: int
    counted: float
    beyond: tuple[float, ...]


class ClassKnowledge(msgspec.Struct, frozen=True):
    """Of one class: `factor` on the bar, from so many confirmed and rejected reviews, and priors by metric."""

    factor: float = 1.0
    confirmed: int = 0
    rejected: int = 0
    metrics: dict[str, MetricPrior] = {}
    may_alert_early: bool = False


class ClassBook(msgspec.Struct, frozen=True):
    """By tenant, then by class; made at `ts`, epoch ms."""

    ts: int
    tenants: dict[str, dict[str, ClassKnowledge]]

    def of(self, tenant: str, device_class: str) -> ClassKnowledge | None:
        """What is known of a tenant's class."""
        return self.tenants.get(tenant, {}).get(device_class)


class Cold(NamedTuple):
    """What the classes say of a round: bars of each reading (r), nats, low and high of each pair; NaN where nothing.

    lasting: the bars (r) of metrics that have been there for EARLY_READINGS
    """

    bars: F32
    lasting: F32
    parts: F32
    low: F64
    high: F64


class Kin(NamedTuple):
    """The classes of a batch: device (n) of each reading, knowledge and factor of each device."""

    device: I64
    known: Sequence[ClassKnowledge | None]
    factors: F32
    moved: bool  # is any factor not 1?
    early: Bools


def kin_of(known: Sequence[ClassKnowledge | None], device: NDArray[np.integer]) -> Kin | None:
    """The classes of a batch's devices. None: nothing is known of any."""
    if not any(known):
        return None
    factors = np.array([each.factor if each else 1.0 for each in known], np.float32)
    early = np.array([bool(each and each.may_alert_early) for each in known])
    return Kin(np.asarray(device, np.int64), known, factors, bool((factors != 1.0).any()), early)


def factor_of(confirmed: float, rejected: float) -> float:
    """What the bar of a class is multiplied by: 1 without reviews, and where just the target's share was rejected.

    The share rejected is the mean of a Beta distribution that begins as the target, worth BELIEVED reviews. Above the
    target the factor rises straight to HIGHEST, which it would reach if all were rejected, below it falls to LOWEST.
    """
    if not confirmed + rejected:
        return 1.0
    share = (rejected + BELIEVED * REJECTED_TARGET) / (confirmed + rejected + BELIEVED)
    over = share - REJECTED_TARGET
    reach = (HIGHEST - 1.0) / (1.0 - REJECTED_TARGET) if over > 0 else (1.0 - LOWEST) / REJECTED_TARGET
    return float(np.clip(1.0 + reach * over, LOWEST, HIGHEST))


def prior_of(records: NDArray[np.void]) -> MetricPrior | None:
    """A metric's prior from its series on all devices of a class. None: too few are settled, or they say nothing."""
    fields = records["fields"]
    own = records[(fields[:, INDEX["n"]] >= SETTLED) & (fields[:, INDEX["wild"]] == 0)]
    devices = own.size
    if devices < FEWEST:
        return None
    fields = own["fields"].astype(np.float64)
    level = own["anchor"] + fields[:, INDEX["slow"]]
    deviation = np.sqrt(fields[:, INDEX["variance"]])
    low, high = np.quantile(level - 3.0 * deviation, TRIMMED), np.quantile(level + 3.0 * deviation, 1.0 - TRIMMED)
    middle = np.median(level)
    between = 1.4826 * np.median(np.abs(level - middle))
    further = 1.0 + FEW_DEVICES / devices
    unit = max(between, float(np.median(deviation)), (high - low) / 4.0, LEAST_SHARE * abs(middle)) * further
    if not (np.isfinite([low, high, unit]).all() and unit > 0.0):
        return None
    change = float(GAUSS) * np.quantile(fields[:, INDEX["spread"]], 1.0 - TRIMMED) * further
    beyond = own["tails"].reshape(devices, -1, BINS)[:, 0].sum(axis=0, dtype=np.float64)
    return MetricPrior(
        float(low), float(high), float(unit), float(change), devices, float(own["counted"].sum(dtype=np.float64)),
        tuple(beyond.tolist()),
    )  # fmt: skip


def cold(kin: Kin, of: I64, local: I64, names: Sequence[str], x: F64, n: F32, before: F64) -> Cold | None:
    """How far the young series of a round are from what their class shows. None: it says nothing of any.

    of      int64 (r): the device of each reading; local int64 (pairs), into readings
    names   the metric of each pair; x, n, before: its value, readings until now, and value before
    """
    found = [
        (pair, prior)
        for pair in (n < YOUNG).nonzero()[0].tolist()
        if (own := kin.known[of[local[pair]]]) is not None and (prior := own.metrics.get(names[pair])) is not None
    ]
    if not found:
        return None
    at = np.array([pair for pair, _ in found])
    low, high, unit, change = np.array([(p.low, p.high, p.unit, p.change) for _, p in found]).T
    out = np.maximum(np.maximum(low - x[at], x[at] - high), 0.0) / unit
    none = np.zeros((1, BINS, at.size), np.float32)
    nats = surprise(_LEVELS, none, none[0, 0], _distance(out))[0]
    jump = np.where((n[at] > 0) & (change > 0), np.abs(x[at] - before[at]) / np.where(change > 0, change, 1.0), 0.0)
    counts = np.array([p.beyond for _, p in found], np.float32).T[None]
    total = np.array([p.counted for _, p in found], np.float32)
    jumps = np.minimum(surprise(_LEVELS, counts, total, _distance(jump))[0], np.float32(JUMP_MOST * BAR_NATS))
    parts, lows, highs = np.zeros(x.size, np.float32), np.full(x.size, np.nan), np.full(x.size, np.nan)
    parts[at] = np.maximum(nats, jumps) * (1.0 - n[at] / YOUNG)
    lows[at], highs[at] = low, high
    held = np.log(np.maximum(np.bincount(local, minlength=of.size), 1))
    lasting = _bars(np.where(n >= EARLY_READINGS - 1, parts, np.float32(0.0)), local, held)
    return Cold(_bars(parts, local, held), lasting, parts, lows, highs)


def _bars(parts: F32, local: I64, held: F64) -> F32:
    """Of the nats of pairs the greatest of each reading, less what the greatest of several is by chance, in bars."""
    most = np.zeros(held.size)
    np.maximum.at(most, local, parts)
    bars: F32 = (np.maximum(most - held, 0.0) / BAR_NATS).astype(np.float32)
    return bars


def _distance(z: F64) -> F32:
    return np.minimum(z, 1e9).astype(np.float32)[None]
