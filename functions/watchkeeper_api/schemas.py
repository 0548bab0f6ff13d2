"""What goes in and out of the API, as JSON. Times are epoch milliseconds, UTC; records are the pipeline's own."""

from typing import Annotated, Any, Literal

import msgspec

from watchkeeper.alerting.entry import AlertEntry
from watchkeeper.knowledge.calendars import Calendar
from watchkeeper.knowledge.catalogue import Clock
from watchkeeper.model_drift import Precision
from watchkeeper.model_in_force import What
from watchkeeper.records import (
    Acknowledgement,
    Cutoff,
    DeviceRecord,
    Episode,
    Importance,
    Report,
    Review,
    SchemaRecord,
    Spend,
)
from watchkeeper.shadow.counting import Counts

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Note = Annotated[str, msgspec.Meta(max_length=2_000)]


class KnowledgeProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A mistake in a file of the knowledge base. `line` and `column` count from 1; 0: not known."""

    file: str
    line: int
    text: str
    column: int = 0


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was wrong, and where. `code` is the status in words, for programs; `message` is for people.

    `problems` are the mistakes of a knowledge base, where it is that which is wrong.
    """

    code: str
    message: str
    where: str = ""
    problems: tuple[KnowledgeProblem, ...] = ()


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Every error has this shape."""

    error: Problem


class ReadingIn(msgspec.Struct, frozen=True):
    """A reading as it is sent. `ts`: ISO 8601 (without a zone: UTC), epoch ms, or absent for the time of receipt."""

    device: str
    values: dict[str, float | None]
    ts: int | float | str | None = None
    tags: dict[str, str | int | float | bool] = {}
    site: str = ""


class ReadingsIn(msgspec.Struct, frozen=True):
    """Readings in company. A single reading, or a plain list of them, is taken too."""

    readings: list[ReadingIn]


class RejectedReading(msgspec.Struct, frozen=True):
    """A reading that was not taken: its place in the body, counted from 0, and why."""

    index: int
    reason: str


class IngestAnswer(msgspec.Struct, frozen=True):
    """What became of a body, after what was accepted is durable.

    `rejected` lists the first 1,000 of `rejected_count`; `shed` of these were refused because the budget is spent.
    """

    accepted: int
    rejected: list[RejectedReading]
    rejected_count: int
    shed: int


class Health(msgspec.Struct, frozen=True):
    """The application can reach its storage."""

    status: Literal["ok"]
    version: str


class DeviceEntry(DeviceRecord, frozen=True):
    """A device; `quality`, where asked for, is the share of its readings in the last whole span that were good."""

    quality: float | None = None


class DeviceDetail(DeviceRecord, frozen=True, kw_only=True, omit_defaults=False):
    """A device, what the catalogue says of it, and which metrics it sends on each topic.

    `gap_ms`: a longer silence is a gap. `units` and `derived` are by metric.
    """

    importance: Importance
    interval_ms: int
    gap_ms: int
    clock: Clock
    time_zone: str
    calendar: Calendar | None
    owner: str
    notes: str
    feeds: tuple[str, ...]
    fed_by: tuple[str, ...]
    units: dict[str, str]
    derived: dict[str, str]
    schemas: list[SchemaRecord]


class MetricScore(msgspec.Struct, frozen=True):
    """How many readings of a metric came in a span, and what they were; `share`: good ones of those expected."""

    share: float
    readings: int
    valid: int
    stuck: int
    filled: int
    good: int


class QualitySpan(msgspec.Struct, frozen=True):
    """One hour or day of a device. `expected` readings of each metric; 0: nobody has said how often it reports.

    `share` is the mean of the metrics'. `skew_ms`: by how much its clock was known to be off, to be added.
    """

    start: int
    span_ms: int
    expected: float
    late: int
    share: float
    skew_ms: int
    metrics: dict[str, MetricScore]


class Quality(msgspec.Struct, frozen=True):
    """The spans of a device that are over, the oldest first; one in which nothing came has a share of 0."""

    device: str
    spans: list[QualitySpan]


class DeviceList(msgspec.Struct, frozen=True):
    """Devices by name. `next`: what to give as `after` for more; empty: there are none."""

    devices: list[DeviceEntry]
    next: str


class Series(msgspec.Struct, frozen=True):
    """A stretch of one metric: `[ts, value]` each or, where there are too many, `[ts, mean, min, max, count]`.

    Then `ts` is where a stretch of `bucket_ms` begins; otherwise `bucket_ms` is 0.
    """

    device: str
    metric: str
    points: list[tuple[int | float, ...]]
    bucket_ms: int


class LevelAhead(msgspec.Struct, frozen=True):
    """That a metric will cross a rule's level: at `ts`, with eight in ten chances between `early` and `late`.

    `late` null: it may be never. `confidence`: that it will be crossed within the horizon, 0.5 to 1.
    """

    rule: str
    level: float
    ts: int
    early: int
    late: int | None
    confidence: float
    summary: str


class MetricAhead(msgspec.Struct, frozen=True):
    """A metric after `start`, the end of the last minute it was seen in, when it was `value`.

    `points`: `[ts, expected, low, high]` each; eight in ten values are within the band. `trend_ms`: how long the blocks
    are whose trend it follows; 0: no trend is sure for as long, and what is expected is the same or what the time of
    day says. `levels`: of the rules that foretell, those whose level will be crossed.
    """

    metric: str
    start: int
    trend_ms: int
    value: float
    points: list[tuple[int, float, float, float]]
    levels: list[LevelAhead]


class Forecast(msgspec.Struct, frozen=True):
    """What is to come of a device. Metrics are those with rules that foretell, and seen for some minutes."""

    device: str
    horizon_ms: int
    metrics: list[MetricAhead]


class Calibration(msgspec.Struct, frozen=True):
    """Of a device: `bar` and `joint_bar` are the nats at which one metric, and all together, open an episode.

    They hold `class_factor`, and are the share `raised` higher for a while after an episode; null: not scored yet. A
    device warms up until it has more than `warm_readings`. `interval_ms`: how often it is heard. In `weeks` (four at
    most) the target explains `expected` episodes of the model, and `observed` opened. Of its metrics 64 are scored.
    """

    device: str
    device_class: str
    class_factor: float
    readings: int
    warming: bool
    warm_readings: int
    interval_ms: float | None
    bar: float | None
    joint_bar: float | None
    raised: float
    is_open: bool
    target_a_week: float
    weeks: float
    expected: float
    observed: int
    scored: tuple[str, ...]
    unscored: tuple[str, ...]


class ClassBar(msgspec.Struct, frozen=True):
    """What the bars of a class are multiplied by, from reviews of eight weeks; `metrics` known to its new devices."""

    device_class: str
    factor: float
    confirmed: int
    rejected: int
    metrics: list[str]


class AnomalyEntry(Episode, frozen=True, omit_defaults=False):
    """An episode with its explanation and what people made of it."""

    report: Report | None = None
    review: Review | None = None


class AnomalyList(msgspec.Struct, frozen=True):
    """Episodes, newest first. `next`: what to give as `before` for older ones; empty: there are none."""

    anomalies: list[AnomalyEntry]
    next: str


class AlertList(msgspec.Struct, frozen=True):
    """Alerts, newest first. `next`: what to give as `before` for older ones; empty: there are none."""

    alerts: list[AlertEntry]
    next: str


class Invitation(msgspec.Struct, frozen=True):
    """Where a client may listen, by which subprotocol, and how soon it has to connect. The address is a password."""

    url: str
    protocol: str
    expires_in_s: int


class AcknowledgeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has seen an alert and works on it."""

    by: Name
    note: Note = ""


class ReviewIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's verdict on an anomaly; retraining learns from it."""

    verdict: Literal["confirmed", "rejected"]
    by: Name
    note: Note = ""


class ReadingCounts(msgspec.Struct, frozen=True):
    """Readings since the beginning. What is accepted is stored, dead, deduplicated, shed, or still on its way."""

    accepted: int
    stored: int
    dead: int
    deduplicated: int
    shed: int
    in_flight: int


class Latency(msgspec.Struct, frozen=True):
    """From receipt to storage, in milliseconds; null where nothing has been stored yet."""

    p50: float | None
    p95: float | None
    p99: float | None


class Budget(msgspec.Struct, frozen=True):
    """This month's spending, as last measured (null: not yet), and what it has switched off."""

    spend: Spend | None
    cutoff: Cutoff


class ModelDrift(msgspec.Struct, frozen=True):
    """How far the data of the day before `ts` have drifted from what `model` learnt from, over all tenants.

    `drifted` of the `compared` series (metrics of devices) have a population stability index above 0.25.
    """

    ts: int
    model: str
    compared: int
    drifted: int
    anomalous: float
    openings_a_week: float
    target_a_week: float
    precision: list[Precision]


class Status(msgspec.Struct, frozen=True):
    """How the whole deployment does, over all tenants. `pipeline` is what its runtime says of itself.

    `throttled`: requests refused with 429 since it started. `drift`: null until it was looked at.
    `classes`: the bars of the classes of who asks.
    """

    version: str
    now: int
    readings: ReadingCounts
    anomalies: int
    latency_ms: Latency
    budget: Budget
    bundle: str
    model: str
    pipeline: dict[str, Any]
    throttled: int = 0
    drift: ModelDrift | None = None
    classes: list[ClassBar] = []


class ModelChange(msgspec.Struct, frozen=True):
    """What was done with a `model`, by a person or `retrain`; in force before and after it (empty: none)."""

    number: int
    at: int
    what: What
    by: str
    model: str
    before: str
    after: str
    why: str


class ModelShadow(msgspec.Struct, frozen=True):
    """A model learnt at `since` that is to be promoted if it is not worse than `against` (empty: no model).

    `done` of `whole` devices and reviewed episodes are compared; `why`: what speaks against it.
    """

    version: str
    since: int
    state: Literal["waiting", "comparing", "not worse", "worse"]
    against: str = ""
    done: int = 0
    whole: int = 0
    counts: Counts | None = None
    why: list[str] = []


class ModelList(msgspec.Struct, frozen=True):
    """What is in force and in shadow, all that are stored, and how that came about, the latest first.

    `next`: what to give as `before` for earlier changes; 0: there are none.
    """

    version: str
    previous: str
    pinned: bool
    shadow: ModelShadow | None
    stored: list[str]
    changes: list[ModelChange]
    next: int


class StageView(msgspec.Struct, frozen=True):
    """One row of the pipeline: what triggers a stage and what it touches, by name."""

    name: str
    on: list[str]
    emits: list[str]
    writes: list[str]
    reads: list[str]
    uses: list[str]


class PipelineView(msgspec.Struct, frozen=True):
    """The pipeline's table."""

    stages: list[StageView]


MODELS: tuple[type[msgspec.Struct], ...] = (
    Acknowledgement,
    AcknowledgeIn,
    AlertList,
    Invitation,
    AnomalyList,
    Calibration,
    DeviceDetail,
    DeviceList,
    ErrorAnswer,
    Forecast,
    Health,
    IngestAnswer,
    ModelList,
    PipelineView,
    Quality,
    ReadingsIn,
    Review,
    ReviewIn,
    Series,
    Status,
)
"""What operations refer to in the OpenAPI document; what these refer to comes with them."""
