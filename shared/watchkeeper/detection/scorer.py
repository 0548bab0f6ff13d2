"""The detector: a batch of readings of a shard in, a score per reading and the edges of episodes out.

Each series is measured against its own past (baseline.py), and its distances become surprises that add up. A reading's
surprise is that of its most surprising metric (less what the greatest of several is by chance), or that of all of them
together (joint.py), whichever is greater, and the forest's. Readings of a device are taken in order, readings of
different devices at once, so the result does not depend on how the stream is cut into batches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import NOTHING, ONE, YOUNG, Observed, keep, observe
from watchkeeper.detection.classes import EARLY_BARS, ClassKnowledge, Cold, Kin, cold, kin_of
from watchkeeper.detection.config import DEFAULT, DetectorConfig
from watchkeeper.detection.episode import (
    PHASES,
    Phase,
    advance,
    bar_at,
    belief,
    confidence,
    count,
    end_blocks,
    frequency,
    in_order,
    joint_bar_at,
    lasting,
    less_for_lasting,
    line_of,
    note,
)
from watchkeeper.detection.features import FEATURE_NAMES, features
from watchkeeper.detection.joint import join
from watchkeeper.detection.model import Model
from watchkeeper.detection.rounds import Round, plan
from watchkeeper.detection.season import Clock, LocalTime, clock_of, utc_clock
from watchkeeper.detection.series import F32, F64, I64, INDEX, Bools, constant, put_back, taken
from watchkeeper.detection.state import MOST_PLACES, DetectorState

SEVERAL: F32 = np.float32(3.0) * np.log(np.maximum(np.arange(MOST_PLACES + 1), 1)).astype(np.float32)
"""Nats that the most surprising of m metrics gives up, by m: 3 log m, about one part for chance, two for caution."""
FOREST_WORTH, FOREST_TOLERANCE, FOREST_RATE = 0.5, 3.2, 0.35


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


class Views(NamedTuple):
    """What was seen of each metric, float64 (n, m), NaN where a value is absent; see Edge."""

    expected: F64
    low: F64
    high: F64
    contribution: F64


class Scored(NamedTuple):
    """score float64 (n) in 0..1, 0.5 where an episode would open; warming and anomalous bool (n); edges by row.

    unscored: values of metrics beyond the cap. views: only where they were asked for.
    """

    score: F64
    warming: Bools
    anomalous: Bools
    edges: list[Edge]
    unscored: int = 0
    views: Views | None = None


class _Judges(NamedTuple):
    """Whose word is heard beside the device's own past."""

    model: Model | None
    kin: Kin | None


def score(  # noqa: PLR0913 - a batch is columns
    state: DetectorState,
    devices: Sequence[str],
    device: NDArray[np.integer],
    ts: I64,
    metrics: Sequence[str],
    values: F64,
    *,
    local: LocalTime | None = None,
    model: Model | None = None,
    classes: Sequence[ClassKnowledge | None] = (),
    config: DetectorConfig = DEFAULT,
    views: bool = False,
) -> Scored:
    """Score n readings and learn from them; `state` is changed in place (`copy` it if the batch may be taken back).

    devices, metrics  distinct names; device  int (n) into devices; ts  int64 (n), epoch ms
    values            float64 (n, m); NaN and infinities are absent values
    local             the time by the devices' own clocks; without: UTC, with rest at weekends
    classes           what is known of the class of each device; without: nothing of any
    A reading older than its device's last is scored, and changes nothing. ValueError if shapes or names do not fit.
    """
    planned = plan(state, devices, device, ts, metrics, values, config)
    n, times = len(ts), np.asarray(ts, np.int64)
    clock = utc_clock(times) if local is None else clock_of(local)
    by = _Judges(model, kin_of(classes, device))
    out = Scored(np.zeros(n), np.zeros(n, bool), np.zeros(n, bool), [], planned.unscored, _no_views(n, metrics, views))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for each in planned.rounds:
            _take(state, each, times[each.readings], clock, metrics, by, config, out)
    out.edges.sort(key=lambda edge: edge.row)
    return out


def measured_features(
    state: DetectorState,
    devices: Sequence[str],
    device: NDArray[np.integer],
    ts: I64,
    metrics: Sequence[str],
    values: F64,
    config: DetectorConfig,
) -> tuple[F64, Bools]:
    """What training learns from n readings, given as to `score`, those of a device in order of time.

    Features (n, 8), and which readings had a settled metric, bool (n).
    """
    found, warm = np.zeros((len(ts), len(FEATURE_NAMES))), np.zeros(len(ts), bool)
    clock = utc_clock(ts)
    planned = plan(state, devices, device, ts, metrics, values, config)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for each in planned.rounds:
            seen, block, records = _measure(state, each, clock, config)
            keep(records, block, each.x, seen)
            state.series[each.slots] = records
            found[each.readings] = features(seen, each.local, each.starts, each.readings.size)
            warm[each.readings] = _any_settled(seen, each)
    return found, warm


def _take(
    state: DetectorState,
    each: Round,
    ts: I64,
    clock: Clock,
    metrics: Sequence[str],
    by: _Judges,
    config: DetectorConfig,
    out: Scored,
) -> None:
    """Measure, learn and judge one round; fills its readings' places in `out`."""
    r = each.readings.size
    devices = taken(state.devices, each.rows)
    moved = ts != devices["last_ts"]
    ordered = in_order(devices, ts, config)
    clocks = None if np.count_nonzero(ordered) == r else devices.copy()
    measured = ordered if each.starts.size == r else ordered & (each.held > 0)
    seen, block, records = _measure(state, each, clock, config)
    joined = join(devices, block, seen, each, records["place"])
    keep(records, block, each.x, seen)

    n = _greatest(seen.n, each)
    forest = None if by.model is None else _forest(by.model, devices, seen, each)
    borne_out = belief(n)
    single = _nats(seen.smoothed, forest, each) * borne_out
    noted = single if seen.trifle is None else _nats(seen.noted, forest, each) * borne_out
    end_blocks(devices, moved, config)
    alone, jointly, lasts = _in_bars(devices, single, joined.nats * borne_out, n, measured, config)
    new = opens = None
    if by.kin is not None:
        of = by.kin.device[each.readings]
        new = _cold(by.kin, of, state, each, seen, metrics)
        alone, jointly, opens = _by_class(by.kin, of, new, alone, jointly)
    unit = constant(config.open_surprise)
    surprise = unit * np.maximum(alone, jointly)
    bar = unit * (ONE + devices["raised"])
    known = count(devices, measured, config)
    warm = measured & known
    edge = advance(devices, ts, surprise, bar, measured, warm, config, lasts, opens)
    note(devices, noted, warm)

    slots = each.slots
    if clocks is not None:
        learnt = ordered[each.local]
        slots, records = slots[learnt], records[learnt]
        devices, edge = np.where(ordered, devices, clocks), edge * ordered
    put_back(state.devices, each.rows, devices)
    put_back(state.series, slots, records)
    out.score[each.readings] = surprise / (surprise + unit)
    out.warming[each.readings] = ~known
    out.anomalous[each.readings] = devices["is_open"] > NOTHING
    edges = edge.nonzero()[0]
    if not edges.size and out.views is None:
        return
    seen_views = _views(each, seen, joined.share(each.x.size), jointly > alone, surprise, new)
    if out.views is not None:
        for whole, part in zip(out.views, seen_views, strict=True):
            whole[each.readings[each.local], each.column] = part
    sure = confidence(devices, config)
    for place in edges.tolist():
        at = int(place)
        out.edges.append(_edge(each, at, PHASES[int(edge[at])], seen_views, metrics, out, devices[at], float(sure[at])))
    state.devices["since_edge"][each.rows[edges]] = 0.0


def _measure(
    state: DetectorState, each: Round, clock: Clock, config: DetectorConfig
) -> tuple[Observed, F32, NDArray[np.void]]:
    records = taken(state.series, each.slots)
    seen, block = observe(records, each.x, clock, each.readings.take(each.local), config.relearn_readings)
    return seen, block, records


def _in_bars(
    devices: NDArray[np.void], single: F32, joint: F32, n: F32, measured: Bools, config: DetectorConfig
) -> tuple[F32, F32, Bools | None]:
    """Nats of a device's metrics, and of all together, in their bars (r); and which of them last: see `lasting`."""
    line, often = line_of(devices, n, config), frequency(devices)
    lasts = lasting(line, often, single, joint, config)
    often = less_for_lasting(devices, often, lasts, measured)
    return single / bar_at(line, often, config), joint / joint_bar_at(often, config), lasts


def _cold(kin: Kin, of: I64, state: DetectorState, each: Round, seen: Observed, metrics: Sequence[str]) -> Cold | None:
    """What the classes say of series that are young; before the state has learnt the round."""
    if not np.count_nonzero(seen.n < YOUNG):
        return None
    names = [metrics[column] for column in each.column.tolist()]
    records = state.series[each.slots]
    before = records["anchor"] + records["fields"][:, INDEX["last"]]
    return cold(kin, of, each.local, names, each.x, seen.n, before)


def _by_class(
    kin: Kin, of: I64, new: Cold | None, alone: F32, jointly: F32
) -> tuple[F32, F32, NDArray[np.int8] | None]:
    """Surprises in bars (r), with what the classes say of new metrics, by the classes' factors; see `advance`."""
    opens = None
    if new is not None:
        own = np.maximum(alone, jointly) >= new.bars
        opens = np.where(kin.early[of] & (new.lasting >= EARLY_BARS), np.int8(2), own.astype(np.int8))
        alone = np.maximum(alone, new.bars)
    if kin.moved:
        alone, jointly = alone / kin.factors[of], jointly / kin.factors[of]
    return alone, jointly, opens


def _greatest(of: F32, each: Round) -> F32:
    """The greatest (r) of what each reading has (pairs), 0 where it has none."""
    if each.starts.size == each.readings.size:
        every: F32 = np.maximum.reduceat(of, each.starts)
        return every
    most = np.zeros(each.readings.size, np.float32)
    if of.size:
        most[each.held > 0] = np.maximum.reduceat(of, each.starts)
    return most


def _nats(nats: F32, forest: F32 | None, each: Round) -> F32:
    """Of each reading (r) the greatest of its nats (pairs), less what it is by chance, and those of the forest."""
    most = _greatest(nats, each)
    most -= SEVERAL.take(each.held)
    np.maximum(most, NOTHING, out=most)
    return most if forest is None else most + forest


def _forest(model: Model, devices: NDArray[np.void], seen: Observed, each: Round) -> F32:
    """What the forest adds to each reading, in nats (r), smoothed within its device."""
    warm = _any_settled(seen, each)
    strange = np.zeros(each.readings.size, np.float32)
    if warm.any():
        matrix = features(seen, each.local, each.starts, each.readings.size)[warm]
        strange[warm] = np.maximum(model.surprise(matrix) - FOREST_TOLERANCE, 0.0)
    memory = devices["forest"]
    memory += np.float32(FOREST_RATE) * (strange - memory) * warm
    return np.float32(FOREST_WORTH) * memory * warm


def _any_settled(seen: Observed, each: Round) -> Bools:
    """Which readings (r) have a metric that is known."""
    settled: Bools = np.bincount(each.local, weights=seen.n >= YOUNG, minlength=each.readings.size) > 0
    return settled


def _no_views(n: int, metrics: Sequence[str], wanted: bool) -> Views | None:  # noqa: FBT001 - as `score` was asked
    return Views(*(np.full((n, len(metrics)), np.nan) for _ in range(4))) if wanted else None


def _views(each: Round, seen: Observed, share: F32, together: Bools, surprise: F32, new: Cold | None) -> Views:
    """What was seen of each pair: arrays (pairs)."""
    lone = seen.nats.sum(axis=0)
    own = np.maximum(lone, seen.smoothed)
    weight = np.where(together[each.local], share, own if new is None else np.maximum(own, new.parts)).astype(
        np.float64
    )
    weight += 1e-9 * (1.0 + seen.z[:3].max(axis=0))
    contribution = surprise[each.local] * weight / np.bincount(each.local, weights=weight)[each.local]
    expected = seen.anchor + seen.expected.astype(np.float64)
    half = seen.band().astype(np.float64)
    low, high = expected - half, expected + half
    if new is not None:  # its own past says less than its class does
        told = new.parts > lone
        low, high = np.where(told, new.low, low), np.where(told, new.high, high)
        expected = np.where(told, (low + high) / 2.0, expected)
    return Views(expected, low, high, contribution)


def _edge(
    each: Round,
    at: int,
    phase: Phase | None,
    views: Views,
    metrics: Sequence[str],
    out: Scored,
    device: np.void,
    sure: float,
) -> Edge:
    assert phase is not None  # noqa: S101 - only edges come here
    first, last = np.searchsorted(each.local, (at, at + 1))
    names = [metrics[c] for c in each.column[first:last].tolist()]

    def by_metric(part: F64) -> dict[str, float]:
        return dict(zip(names, part[first:last].tolist(), strict=True))

    row = int(each.readings[at])
    return Edge(
        row=row,
        phase=phase,
        score=float(out.score[row]),
        confidence=sure,
        expected=by_metric(views.expected),
        low=by_metric(views.low),
        high=by_metric(views.high),
        contribution=by_metric(views.contribution),
        metric=names[int(views.contribution[first:last].argmax())],
        count=int(device["since_edge"]),
        since_ts=int(device["opened_ts"]),
    )
