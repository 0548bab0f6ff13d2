"""The detector: a batch of readings of a shard in, a score per reading and the edges of episodes out.

Each series is measured against its own past (baseline.py) and each distance becomes a surprise (surprise.py); what is
above the tolerance is smoothed and summed over the reading's metrics and the forest, and the sum is ranked among the
device's own sums (episode.py). Readings of a device are taken in order, readings of different devices at once, so the
result does not depend on how the stream is cut into batches.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import OBSERVED, SEEN, VALUE_LIMIT, Reading, observe
from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.episode import DeviceState, Phase
from watchkeeper.detection.features import features
from watchkeeper.detection.model import Model
from watchkeeper.detection.season import DayClock
from watchkeeper.detection.series import EDGES, F64, I64, INDEX, TAILS, Bools
from watchkeeper.detection.state import DetectorState
from watchkeeper.detection.surprise import TOLERANCE, excess

BAND = 4.0
"""Half the width of the expected band, in spreads."""


class Edge(msgspec.Struct, frozen=True):
    """A reading at which an episode opened, went on for another while, or cleared.

    row         index into the batch
    score       0..1, that of the reading; confidence 0..1, that of the episode
    expected    per measured metric, in its unit, with the band low..high
    contribution per measured metric, nats: they sum to the reading's surprise
    metric      the one that contributes most
    count       readings of the episode since its last edge, this one included
    since_ts    event time at which the episode opened, epoch ms
    """

    row: int
    phase: Phase
    score: float
    confidence: float
    expected: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    contribution: dict[str, float]
    metric: str
    count: int
    since_ts: int


class Scored(NamedTuple):
    """score float64 (n) in 0..1, 0.5 where an episode would open; warming and anomalous bool (n); edges by row."""

    score: F64
    warming: Bools
    anomalous: Bools
    edges: list[Edge]


class _Context(NamedTuple):
    metrics: Sequence[str]
    smoothed: F64
    config: DetectorConfig


class Measured(NamedTuple):
    """A batch against its baselines. Pairs are the values present, by row and then by name of metric."""

    row: I64  # (pairs)
    column: I64  # (pairs), into the caller's metrics
    seen: F64  # (OBSERVED, pairs)
    counts: NDArray[np.uint16]  # (pairs, 3, 18), the tail counts before each
    slots: I64  # (pairs)
    rounds: list[NDArray[np.intp]]  # pairs that can be taken at once, in order
    late: Bools  # (n)
    any_warm: Bools  # (n)
    features: F64  # (n, features)


def score(
    state: DetectorState,
    devices: Sequence[str],
    device: NDArray[np.integer],
    ts: I64,
    metrics: Sequence[str],
    values: F64,
    *,
    model: Model | None = None,
    config: DetectorConfig = DEFAULT,
) -> Scored:
    """Score n readings and learn from them; `state` is changed in place (`copy` it if the batch may be taken back).

    devices, metrics  distinct names; device  int (n) into devices; ts  int64 (n), epoch ms
    values            float64 (n, m); NaN and infinities are absent values
    A reading older than its device's last is scored, and changes nothing. ValueError if shapes or names do not fit.
    """
    got = measure(state, devices, device, ts, metrics, values, config)
    n = len(got.late)
    nats = excess(got.seen, got.counts, config.warm_readings // 2).sum(axis=0)
    smoothed = _smooth(state, got, nats, config.smoothing)
    load = np.bincount(got.row, weights=smoothed, minlength=n)
    squares = np.bincount(got.row, weights=smoothed * smoothed, minlength=n).tolist()
    strange = np.zeros(n)
    if model is not None and got.any_warm.any():
        strange[got.any_warm] = np.maximum(model.surprise(got.features[got.any_warm]) - TOLERANCE, 0.0)
    present = np.bincount(got.row, minlength=n).tolist()

    out, warming, anomalous = [0.0] * n, [True] * n, [False] * n
    edges: list[Edge] = []
    context = _Context(metrics, smoothed, config)
    states = [state.devices[name] for name in devices]
    columns = tuple(a.tolist() for a in (device, ts, load, strange, got.late, got.any_warm))
    for row, (at, time, of_series, of_forest, late, warm) in enumerate(zip(*columns, strict=True)):
        own = states[at]
        if not warm:
            warming[row] = present[row] > 0 or own.is_warming(config)
            anomalous[row] = own.is_open
            continue
        forest = own.forest + config.smoothing * (of_forest - own.forest)
        strength = math.sqrt(squares[row] + forest * forest)
        surprise = own.surprise(of_series + forest, strength)
        phase = None
        if not late:
            own.forest = forest
            phase = own.advance(time, of_series + forest, strength, surprise, config)
        out[row], anomalous[row] = surprise / (surprise + config.open_surprise), own.is_open
        warming[row] = own.is_warming(config)
        if phase:
            edges.append(_edge(row, phase, surprise, own, got, context))
            own.since_edge = 0
    return Scored(np.array(out, np.float64), np.array(warming, bool), np.array(anomalous, bool), edges)


def measure(
    state: DetectorState,
    devices: Sequence[str],
    device: NDArray[np.integer],
    ts: I64,
    metrics: Sequence[str],
    values: F64,
    config: DetectorConfig,
) -> Measured:
    """Measure readings against their baselines and learn from them: the part of `score` that training shares."""
    n = len(ts)
    values = np.asarray(values, np.float64)
    if values.shape != (n, len(metrics)) or len(device) != n:
        raise ValueError(f"{n} times, {len(device)} devices and values of {values.shape} for {len(metrics)} metrics")
    if len(set(devices)) != len(devices) or len(set(metrics)) != len(metrics):
        raise ValueError("devices and metrics must be distinct")
    if n and not 0 <= int(device.min()) <= int(device.max()) < len(devices):
        raise ValueError("a reading names a device that is not listed")
    states = [state.devices.setdefault(name, DeviceState()) for name in devices]
    late = np.array([states[d].is_late(t, config) for d, t in zip(device.tolist(), ts.tolist(), strict=True)], bool)

    by_name = np.array(sorted(range(len(metrics)), key=metrics.__getitem__), np.int64)
    row, at = np.nonzero(np.isfinite(values[:, by_name]))
    column = by_name[at] if at.size else np.zeros(0, np.int64)
    owner = np.asarray(device, np.int64)[row]
    series, which = np.unique(owner * len(metrics) + column, return_inverse=True)
    known = [state.slot(devices[s // len(metrics)], metrics[s % len(metrics)]) for s in series.tolist()]
    slots = np.array(known, np.int64)[which]

    turn = _turns(np.asarray(device, np.int64))[row]
    order = np.argsort(turn, kind="stable")
    bounds = np.r_[0, np.cumsum(np.bincount(turn))] if turn.size else np.zeros(1, np.int64)
    x = np.clip(values[row, column][order], -VALUE_LIMIT, VALUE_LIMIT)
    clock, ordered_slots, learn = DayClock(np.asarray(ts, np.int64)[row][order]), slots[order], ~late[row][order]
    out = np.empty((len(OBSERVED), row.size))
    tails = np.empty((row.size, TAILS, EDGES.size), np.uint16)
    rounds = []
    with np.errstate(all="ignore"):
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if start == end:
                continue
            part = slice(start, end)
            keep = None if learn[part].all() else learn[part]
            reading = Reading(ordered_slots[part], x[part], clock, part, keep)
            observe(state.series, reading, config.relearn_readings, out[:, part], tails[part])
            rounds.append(order[part])
    seen = np.empty_like(out)
    seen[:, order] = out
    counts = np.empty_like(tails)
    counts[order] = tails
    warm = seen[SEEN["n"]] >= config.warm_readings // 2
    any_warm = np.bincount(row, weights=warm, minlength=n) > 0
    return Measured(row, column, seen, counts, slots, rounds, late, any_warm, features(seen, row, n, warm))


def _turns(device: I64) -> I64:
    """How many readings of the same device come before each: (n)."""
    order = np.argsort(device, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(device))]
    turn = np.empty(device.size, np.int64)
    turn[order] = np.arange(device.size) - starts[device[order]]
    return turn


def _smooth(state: DetectorState, got: Measured, nats: F64, rate: float) -> F64:
    """The smoothed surprise of each series at each of its readings: (pairs)."""
    memory = state.series.num[INDEX["smoothed"]]
    out = np.empty(nats.size)
    learn = ~got.late[got.row]
    for pairs in got.rounds:
        slots = got.slots[pairs]
        before = memory[slots]
        now = np.maximum(nats[pairs], before * (1.0 - rate))
        out[pairs] = now
        memory[slots] = np.where(learn[pairs], now, before)
    return out


def _edge(row: int, phase: Phase, surprise: float, own: DeviceState, got: Measured, context: _Context) -> Edge:
    first, last = np.searchsorted(got.row, (row, row + 1))
    seen, share = got.seen[:, first:last], context.smoothed[first:last]
    if not share.sum() > 0:
        share = seen[SEEN["z_residual"]] + seen[SEEN["z_shift"]] + 1e-9
    contribution = surprise * share / share.sum()
    near = seen[SEEN["z_residual"]] >= seen[SEEN["z_shift"]]
    expected = np.where(near, seen[SEEN["near"]], seen[SEEN["normal"]])
    half = BAND * np.where(near, seen[SEEN["near_spread"]], seen[SEEN["normal_spread"]])
    names = [context.metrics[c] for c in got.column[first:last].tolist()]

    def by_metric(values: F64) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    return Edge(
        row=row,
        phase=phase,
        score=surprise / (surprise + context.config.open_surprise),
        confidence=own.confidence(context.config),
        expected=by_metric(expected),
        low=by_metric(expected - half),
        high=by_metric(expected + half),
        contribution=by_metric(contribution),
        metric=names[int(contribution.argmax())],
        count=own.since_edge,
        since_ts=own.opened_ts,
    )
