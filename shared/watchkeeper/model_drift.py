"""What the model in force learnt from against what comes now: data drift, score drift, and what people's reviews say.

A reference is kept beside each model. A look at the last day's series makes a report, which is stored: a look costs
the reading of a day, and nothing on the way of a reading.
"""

from __future__ import annotations

import dataclasses
import logging
import statistics
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.drift import MUCH, Sketch, beyond_target, drift, sketch
from watchkeeper.model_in_force import current_pin
from watchkeeper.ports import Key
from watchkeeper.records import Episode, Flag, Review
from watchkeeper.series.query import history
from watchkeeper.topology import EPISODES, REVIEWS
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watchkeeper.detection.series import F64
    from watchkeeper.ports import Blobs, Ports, Tables
    from watchkeeper.series.query import DeviceHistory

log = logging.getLogger(__name__)
REPORT = "models/drift"
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
WEEKS = 8  # of reviews
MOST_SERIES = 20_000  # metrics of devices that a reference is of
MOST_METRICS = 50  # metrics that a report names, those that have drifted most
MUCH_SHARE = 0.1
"""Share of the compared series that must have drifted for a new model to be learnt early."""

SeriesKey = tuple[str, str, str]  # tenant, device, metric


class MetricDrift(msgspec.Struct, frozen=True):
    """A metric over all devices that send it: the median index, the series compared, and those above 0.25."""

    metric: str
    index: float
    series: int
    drifted: int


class Precision(msgspec.Struct, frozen=True):
    """Of the model's episodes that opened in a week (the Monday it began, UTC): what people said to them."""

    week: str
    confirmed: int
    rejected: int

    @property
    def share(self) -> float:
        """Confirmed of all that were reviewed."""
        return self.confirmed / (self.confirmed + self.rejected)


class DriftReport(msgspec.Struct, frozen=True):
    """A look at `ts` (epoch ms) at the day before it. `series` of 0: there was nothing to compare.

    `anomalous` is the share of readings with an open episode; `openings` are those in `device_weeks`.
    """

    ts: int
    model: str
    series: int
    drifted: int
    metrics: tuple[MetricDrift, ...]
    anomalous: float
    openings: int
    device_weeks: float
    precision: tuple[Precision, ...]
    target_a_week: float = DEFAULT.target_a_week

    @property
    def much(self) -> bool:
        """Has the data drifted so far that a new model should be learnt?"""
        return self.drifted > 0 and self.drifted >= MUCH_SHARE * self.series

    @property
    def openings_a_week(self) -> float:
        """For each device; 0 where nothing was heard."""
        return self.openings / self.device_weeks if self.device_weeks else 0.0

    @property
    def loud(self) -> bool:
        """Are there more openings than the target explains, at three standard deviations of a Poisson count?"""
        return beyond_target(self.openings, self.device_weeks, self.target_a_week)


class Reference:
    """Collects how the values of each series are distributed, of up to 20,000 of them."""

    def __init__(self) -> None:
        self.sketches: dict[SeriesKey, Sketch] = {}

    def add(self, tenant: str, device: str, metrics: Sequence[str], values: F64) -> None:
        """Values (n, m) of a device; metrics with fewer than 100 are left out."""
        for metric, column in zip(metrics, values.T, strict=True):
            found = sketch(column) if len(self.sketches) < MOST_SERIES else None
            if found is not None:
                self.sketches[tenant, device, metric] = found

    def keep(self, blobs: Blobs, model: str) -> None:
        """Store it beside its model."""
        blobs.put(reference_key(model), msgspec.msgpack.encode([(*key, held) for key, held in self.sketches.items()]))


def reference_key(model: str) -> str:
    """Where the reference of a model is."""
    return f"models/{model}.reference"


def measure_drift(ports: Ports, shards: int, now: int) -> DriftReport:
    """Look at the last day, store the report and answer it. Unavailable, StateError: the series cannot be read."""
    pin = current_pin(ports.blobs)
    reference = _reference(ports.blobs, pin.version)
    day = _Day(reference)
    for shard in range(shards):
        for device in history(ports.blobs, shard, now - DAY_MS, now + 1):
            day.add(device)
    metrics = [
        MetricDrift(name, round(statistics.median(found), 4), len(found), sum(index > MUCH for index in found))
        for name, found in day.indices.items()
    ]
    metrics.sort(key=lambda metric: (-metric.drifted / metric.series, -metric.index, metric.metric))
    report = DriftReport(
        ts=now,
        model=pin.version,
        series=sum(metric.series for metric in metrics),
        drifted=sum(metric.drifted for metric in metrics),
        metrics=tuple(metrics[:MOST_METRICS]),
        anomalous=day.anomalous / day.readings if day.readings else 0.0,
        openings=day.openings,
        device_weeks=day.heard_ms / WEEK_MS,
        precision=_precision(ports.tables, {key[0] for key in reference} | day.tenants, now),
    )
    ports.blobs.put(REPORT, msgspec.json.encode(report))
    return report


def latest_drift(blobs: Blobs) -> DriftReport | None:
    """The report of the last look. None: there was none yet, or it cannot be read (which the log says)."""
    held = blobs.get_many([REPORT]).get(REPORT)
    try:
        return msgspec.json.decode(held.data, type=DriftReport) if held else None
    except msgspec.MsgspecError as error:
        log.error("%s cannot be read, and the next look writes it anew: %s", REPORT, error)
        return None


def reviews_of(tables: Tables, tenant: str) -> list[Review]:
    """All verdicts of a tenant's people."""
    return [read_record(row.value, Review) for row in tables.query(REVIEWS.name, tenant, limit=100_000)]


@dataclasses.dataclass(slots=True)
class _Day:
    reference: dict[SeriesKey, Sketch]
    indices: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    tenants: set[str] = dataclasses.field(default_factory=set)
    readings: int = 0
    anomalous: int = 0
    openings: int = 0
    heard_ms: int = 0

    def add(self, device: DeviceHistory) -> None:
        flagged = (device.flags & Flag.ANOMALOUS) != 0
        self.tenants.add(device.tenant)
        self.readings += flagged.size
        self.anomalous += int(flagged.sum())
        self.openings += int((flagged[1:] & ~flagged[:-1]).sum())
        self.heard_ms += int(device.ts[-1] - device.ts[0])
        for metric, values in zip(device.metrics, device.values, strict=True):
            before = self.reference.get((device.tenant, device.device, metric))
            index = None if before is None else drift(before, values)
            if index is not None:
                self.indices.setdefault(metric, []).append(index)


def _reference(blobs: Blobs, model: str) -> dict[SeriesKey, Sketch]:
    key = reference_key(model)
    held = blobs.get_many([key]).get(key)
    try:
        rows = msgspec.msgpack.decode(held.data, type=list[tuple[str, str, str, Sketch]]) if held else []
    except msgspec.MsgspecError as error:
        log.error("%s cannot be read, and nothing is compared until a new model is learnt: %s", key, error)
        return {}
    return {(tenant, device, metric): found for tenant, device, metric, found in rows}


def _precision(tables: Tables, tenants: Iterable[str], now: int) -> tuple[Precision, ...]:
    """By week, the earliest first; weeks without a review are left out. What rules found is not counted."""
    counts: dict[str, list[int]] = {}
    for tenant in sorted(tenants):
        recent = [review for review in reviews_of(tables, tenant) if review.start > now - WEEKS * WEEK_MS]
        rows = tables.get_many(EPISODES.name, [Key(tenant, review.episode) for review in recent])
        for review in recent:
            row = rows.get(Key(tenant, review.episode))
            if row is not None and read_record(row.value, Episode).detector == "model":
                counts.setdefault(_monday(review.start), [0, 0])[review.verdict == "rejected"] += 1
    return tuple(Precision(week, *found) for week, found in sorted(counts.items()))


def _monday(ts: int) -> str:
    day = datetime.fromtimestamp(ts / 1000, UTC).date()
    return str(day - timedelta(days=day.weekday()))
