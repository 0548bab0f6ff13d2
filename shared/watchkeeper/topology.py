"""The words the pipeline is written in: topics, tables, triggers and stages. `pipeline` says the sentence."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, Protocol

from watchkeeper import records
from watchkeeper.packs import Pack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import msgspec

    from watchkeeper.context import Context
    from watchkeeper.outcome import Delivered, Outcome

Carries = Literal["raw", "pack", "anomaly", "alert", "dead"]


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """A stream of messages, divided into partitions by shard.

    `producer` and `consumer` name who is at that end outside the pipeline. A topic that is not `sharded` has one
    partition.
    """

    name: str
    carries: Carries
    sharded: bool = True
    producer: str = ""
    consumer: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class TableSpec:
    """A table of records, found by a partition key and a sort key.

    A row ends `kept_days` after it was last written, and some time later is deleted; None: never.
    """

    name: str
    record: type[msgspec.Struct]
    key: str  # what the two keys are made of, for people
    kept_days: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Every:
    """A timer."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Http:
    """Requests to the API; `routes` for people."""

    routes: str


Trigger = Topic | Every | Http
Uses = Literal["knowledge", "language_model", "detection_model", "blobs", "receivers", "meter"]


class StateCodec(Protocol):
    """How a stage's state of one shard becomes bytes and back. StateError: the bytes are no state.

    It writes the present `version`, and reads all from the first one on.
    """

    @property
    def version(self) -> int:
        """The version that it writes."""

    def version_of(self, data: bytes) -> int:
        """The version that bytes say they are of."""

    def empty(self) -> Any:  # noqa: ANN401 - each stage has a state of its own type
        """State of a shard never seen."""

    def encode(self, state: Any) -> bytes:  # noqa: ANN401
        """Bytes of a state."""

    def decode(self, data: bytes) -> Any:  # noqa: ANN401
        """State from bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """One row of the pipeline: what a stage is triggered by, and all that it may touch.

    `take` is the stage itself: a batch from one source partition in, its effects out. `tick` is what it does on its
    timer, for the shards whose states it is given. Stages with neither (`api`, `retrain`) act on the world and are run
    by a runtime. `state`: one blob per input topic and shard, one in all, or none. `may_wait`: its messages may wait in
    the stream while the budget is spent; never where it keeps rows or series, has a timer, or is how people are told.
    """

    name: str
    on: tuple[Trigger, ...]
    take: Callable[[Sequence[Delivered], Context], Outcome] | None = None
    tick: Callable[[Context], Outcome] | None = None
    emits: tuple[Topic, ...] = ()
    writes: tuple[TableSpec, ...] = ()
    reads: tuple[TableSpec, ...] = ()
    uses: tuple[Uses, ...] = ()
    state: Literal["shard", "one"] | None = None
    codec: StateCodec | None = None
    may_wait: bool = False

    def __post_init__(self) -> None:
        """ValueError: it must not wait."""
        keeps = bool(self.writes) or "blobs" in self.uses
        if self.may_wait and (keeps or self.timer or not self.topics or DASHBOARD_ALERTS in self.emits):
            message = f"{self.name} may not wait: it keeps data, has a timer or no topic, or is how people are told"
            raise ValueError(message)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics that trigger it."""
        return tuple(trigger for trigger in self.on if isinstance(trigger, Topic))

    @property
    def timer(self) -> Every | None:
        """Its timer, if it has one."""
        return next((trigger for trigger in self.on if isinstance(trigger, Every)), None)


DEVICE_TELEMETRY = Topic("device-telemetry", "raw", producer="the device hub")
IOT_DATA_INGESTION = Topic("iot-data-ingestion", "pack")
BATCH_DATA_INGESTION = Topic("batch-data-ingestion", "pack")
DATA_PROCESSING_OUTPUT = Topic("data-processing-output", "pack")
RULE_CHECK_OUTPUT = Topic("rule-check-output", "pack")
FINAL_DATA_STORAGE = Topic("final-data-storage", "pack")
RAG_ERROR_REPORTING = Topic("rag-error-reporting", "anomaly")
DASHBOARD_ALERTS = Topic("dashboard-alerts", "alert", sharded=False)
DEAD_LETTER = Topic("dead-letter", "dead", consumer="operators")

TOPICS: Mapping[str, Topic] = {
    topic.name: topic
    for topic in (
        DEVICE_TELEMETRY,
        IOT_DATA_INGESTION,
        BATCH_DATA_INGESTION,
        DATA_PROCESSING_OUTPUT,
        RULE_CHECK_OUTPUT,
        FINAL_DATA_STORAGE,
        RAG_ERROR_REPORTING,
        DASHBOARD_ALERTS,
        DEAD_LETTER,
    )
}

KEPT_DAYS = 400  # of what happened: thirteen months, so that a month can be laid beside the same one of the year before

QUALITY = TableSpec("quality", records.QualityRecord, "tenant / device, start, source, set of metrics", KEPT_DAYS)
SCHEMAS = TableSpec("schemas", records.SchemaRecord, "tenant / device, source")
DEVICES = TableSpec("devices", records.DeviceRecord, "tenant / device")
EPISODES = TableSpec("episodes", records.Episode, "tenant / episode", KEPT_DAYS)
REPORTS = TableSpec("reports", records.Report, "tenant / episode", KEPT_DAYS)
ALERTS = TableSpec("alerts", records.Alert, "tenant / alert", KEPT_DAYS)
OUTBOX = TableSpec("outbox", records.Delivery, "receiver / alert, status", KEPT_DAYS)
SPEND = TableSpec("spend", records.Spend, "month / -")
CUTOFFS = TableSpec("cutoffs", records.Cutoff, "current / -")
ACKNOWLEDGEMENTS = TableSpec("acknowledgements", records.Acknowledgement, "tenant / alert", KEPT_DAYS)
REVIEWS = TableSpec("reviews", records.Review, "tenant / episode", KEPT_DAYS)
REQUESTS = TableSpec("requests", records.RequestSlot, "tenant / slot")

TABLES: Mapping[str, TableSpec] = {
    table.name: table
    for table in (
        QUALITY,
        SCHEMAS,
        DEVICES,
        EPISODES,
        REPORTS,
        ALERTS,
        OUTBOX,
        SPEND,
        CUTOFFS,
        ACKNOWLEDGEMENTS,
        REVIEWS,
        REQUESTS,
    )
}

LIFETIMES_S: Mapping[str, float] = {
    table.name: table.kept_days * 86_400.0 for table in TABLES.values() if table.kept_days is not None
}
"""Seconds after their last write at which rows end, by the name of their table; of others they never do."""

RECORDS: Mapping[Carries, type[Pack | msgspec.Struct]] = {
    "pack": Pack,
    "anomaly": records.Anomaly,
    "alert": records.Alert,
    "dead": records.DeadLetter,
}
