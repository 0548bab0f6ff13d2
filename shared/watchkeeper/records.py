"""What flows through Watchkeeper, one record at a time; readings in company are packs, in `packs`.

Times are epoch milliseconds, UTC. Every record that travels or is stored carries the version of its schema, `v`.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

SCHEMA_VERSION = 1
DEFAULT_TENANT = "default"


class Severity(enum.StrEnum):
    """How bad it is, compared by rank: info < warning < critical < emergency."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"

    @property
    def rank(self) -> int:
        """0 for info to 3 for emergency."""
        return _RANKS[self.value]

    # All four, because `str` brings its own, alphabetical ones.
    def __lt__(self, other: str) -> bool:
        return self.rank < Severity(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Severity(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Severity(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Severity(other).rank


_RANKS = {severity.value: rank for rank, severity in enumerate(Severity)}


class Importance(enum.StrEnum):
    """What a device matters; a budget cutoff refuses readings of low ones first."""

    CRITICAL = "critical"
    NORMAL = "normal"
    LOW = "low"


class Flag(enum.IntFlag):
    """What was noticed about one reading on its way."""

    NO_TIME = 1  # the device sent no time: event time is the time it was received
    LATE = 2  # older than what its device had sent before, by more than the tolerance
    BACKFILL = 4  # received long after it happened: processed, but pages nobody
    CORRECTION = 8  # same id as an earlier reading, other content
    INVALID = 16  # at least one value was out of range or a sentinel, and is left out
    FILLED = 32  # at least one value was filled as the catalogue says
    WARMING = 64  # the model does not know the device well enough yet
    ANOMALOUS = 128  # an episode of the model was open at this reading
    STUCK = 256  # at least one value has not changed for longer than the catalogue allows
    CLOCK_CORRECTED = 512  # its device's clock is known to be off, and the time was corrected


class Origin(msgspec.Struct, frozen=True, array_like=True, cache_hash=True, gc=False):
    """The input position a record was made from: which stage made it, from what, and the how-manieth it is.

    A stage that takes a record remembers its origin; what is at or below the highest it has taken from the same
    source is a repetition.
    """

    stage: str
    topic: str
    partition: int
    offset: int
    index: int = 0

    @property
    def source(self) -> str:
        """What origins are compared within."""
        return f"{self.stage}:{self.topic}/{self.partition}"

    @property
    def place(self) -> tuple[int, int]:
        """What origins of one source are ordered by."""
        return (self.offset, self.index)


class Device(msgspec.Struct, frozen=True, array_like=True, cache_hash=True, gc=False):
    """Whose reading it is."""

    tenant: str
    device: str
    site: str = ""


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading as people and dead letters see it; on the way readings are columns of a pack."""

    device: str
    ts: int
    values: dict[str, float | None]
    tenant: str = DEFAULT_TENANT
    site: str = ""
    tags: dict[str, str] = {}
    received: int = 0
    flags: int = 0


Phase = Literal["open", "update", "clear", "event"]


class MetricView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a detector saw of one metric: the value, what it expected (with its band), and the metric's share."""

    value: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    contribution: float = 0.0


class Anomaly(msgspec.Struct, frozen=True, kw_only=True, tag="anomaly", omit_defaults=True):
    """An edge of an episode: it opens, goes on, or clears; an `event` opens and is over at once.

    `episode` names the episode, the same on all of its edges: whoever meets one of them knows which it belongs to.
    `detector` is what found it (`rule:<id>`, `model`, `gap`, `stuck:<metric>`, `schema`, `silence:<rule>`); an episode
    is one device and one detector. `count` says how many readings stand behind this edge. `backfill` anomalies page
    nobody.
    """

    id: str
    episode: str
    tenant: str
    site: str
    device: str
    device_class: str
    detector: str
    phase: Phase
    ts: int
    severity: Severity
    summary: str
    received: int = 0
    metric: str = ""
    metrics: dict[str, MetricView] = {}
    score: float = 1.0
    confidence: float = 1.0
    since: int = 0
    count: int = 1
    runbook: str = ""
    threshold: str = ""
    backfill: bool = False
    bundle: str = ""
    model: str = ""
    origin: Origin | None = None
    v: int = SCHEMA_VERSION


class Source(msgspec.Struct, frozen=True):
    """A passage of the knowledge base that a report rests on."""

    file: str
    heading: str
    quote: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The explanation of an episode. `written_by` is `rules` (deterministic) or the name of a language model."""

    episode: str
    tenant: str
    device: str
    ts: int
    what: str
    confidence: float
    causes: tuple[str, ...]
    steps: tuple[str, ...]
    sources: tuple[Source, ...]
    severity: Severity
    category: str
    written_by: str = "rules"
    rejected: str = ""  # why a model's answer was not used
    v: int = SCHEMA_VERSION


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that belongs to one device and one detector from when it opens until it clears."""

    id: str
    tenant: str
    site: str
    device: str
    device_class: str
    detector: str
    opened_by: str  # id of the opening anomaly: who finds its own here has opened it before
    opened: int
    last: int
    severity: Severity
    summary: str
    count: int = 1
    score: float = 1.0
    closed: int | None = None
    closed_because: str = ""
    metric: str = ""
    runbook: str = ""
    backfill: bool = False
    received: int = 0
    seen: int = 0  # wall time of the last edge
    anomaly: Anomaly | None = None  # the edge with the highest score so far
    taken: Origin | None = None  # origin of the last edge it holds
    v: int = SCHEMA_VERSION


class Alert(msgspec.Struct, frozen=True, kw_only=True, tag="alert", omit_defaults=True):
    """What people are told: one alert per episode, as `firing`, later with a better `update`, then `resolved`."""

    id: str
    tenant: str
    site: str
    device: str
    device_class: str
    detector: str
    status: Literal["firing", "update", "resolved"]
    severity: Severity
    title: str
    opened: int
    ts: int
    received: int = 0  # when the reading that opened it was accepted, wall time
    sent: int = 0  # when the alert left, wall time
    resolved: int | None = None
    category: str = ""
    count: int = 1
    metric: str = ""
    pages: bool = True
    acknowledged_by: str = ""
    report: Report | None = None
    origin: Origin | None = None
    v: int = SCHEMA_VERSION


class DeadLetter(msgspec.Struct, frozen=True, tag="dead", omit_defaults=True):
    """What no stage could take: the original bytes, the reason, and where it came from.

    `received` is when the hub or the API had taken it, wall time; 0 where that is not known or plays no part.
    """

    id: str
    stage: str
    reason: str
    body: bytes
    ts: int
    topic: str = ""
    partition: int = 0
    offset: int = 0
    index: int = 0
    tenant: str = DEFAULT_TENANT
    device: str = ""
    received: int = 0
    v: int = SCHEMA_VERSION


class DeviceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a device from what it sent."""

    tenant: str
    device: str
    site: str
    device_class: str
    metrics: tuple[str, ...]
    first_seen: int
    last_seen: int
    v: int = SCHEMA_VERSION


class MetricQuality(msgspec.Struct, frozen=True, array_like=True):
    """How many readings of a metric had a value that could be true, one that was stuck, one that was filled.

    `good` ones are valid, in time, neither stuck nor filled.
    """

    valid: int = 0
    stuck: int = 0
    filled: int = 0
    good: int = 0


class QualityRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The readings of one span (an hour or a day) of a device, of the metrics that it sent together.

    `expected` is how many there should have been, 0 where nobody has said how often the device reports. `source` is the
    topic they came on; `skew_ms` by how much the device's clock was known to be off, to be added.
    """

    tenant: str
    device: str
    start: int
    span_ms: int
    source: str
    expected: float
    readings: int
    late: int
    metrics: dict[str, MetricQuality]
    skew_ms: int = 0
    v: int = SCHEMA_VERSION


class SchemaRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which metrics a device sends on a topic (`source`): a version for each change, and what the last one was.

    `since` is when the readings that showed the change began to be received.
    """

    tenant: str
    device: str
    source: str
    version: int
    metrics: tuple[str, ...]
    since: int
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    v: int = SCHEMA_VERSION


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alert on its way to one receiver; it stays pending until the receiver has taken it.

    A firing is superseded when its end has come first; an alert is given up after days of trying.
    """

    id: str
    receiver: str
    alert: Alert
    attempts: int = 0
    next_try: int = 0
    state: Literal["pending", "sent", "superseded", "given up"] = "pending"
    error: str = ""
    v: int = SCHEMA_VERSION


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has seen an alert and works on it."""

    alert: str
    tenant: str
    by: str
    ts: int
    note: str = ""
    v: int = SCHEMA_VERSION


class RequestNote(msgspec.Struct, frozen=True, array_like=True):
    """A request that was taken under its client's key: digests of both, when, and the counts of its receipt."""

    key: int
    body: int
    ts: int
    accepted: int
    rejected: int = 0
    shed: int = 0


class RequestSlot(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest requests whose keys share a slot."""

    tenant: str
    slot: str
    notes: tuple[RequestNote, ...] = ()
    v: int = SCHEMA_VERSION


class Review(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's verdict on an episode; retraining learns from it."""

    episode: str
    tenant: str
    device: str
    start: int
    end: int
    verdict: Literal["confirmed", "rejected"]
    by: str
    ts: int
    note: str = ""
    v: int = SCHEMA_VERSION


class Spend(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a month has cost so far, in US dollars, and what it will have cost at this pace."""

    month: str
    spent: float
    forecast: float
    budget: float
    level: Literal["ok", "warn", "degrade", "cutoff"]
    per_stage: dict[str, float]
    ts: int
    v: int = SCHEMA_VERSION


class Switches(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a budget can switch off."""

    model_calls: bool = True  # may a language model be called?
    refuse: tuple[Importance, ...] = ()  # readings of devices of these importances are refused


class Cutoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is switched off now because of the budget; `before` is what to restore, exactly."""

    level: Literal["ok", "warn", "degrade", "cutoff"] = "ok"
    since: int = 0
    month: str = ""
    now: Switches = Switches()
    before: Switches | None = None
    alert: str = ""  # the alert that says so
    ended: tuple[str, ...] = ()  # alerts of levels before, which are over
    v: int = SCHEMA_VERSION
