"""What flows through the pipeline's table: which function takes how much of which topic, in how many batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.topology import Stage, Topic

GB = 1e9


class Assumptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken for granted, beside the load."""

    readings_per_message: float = 1.0  # what a device sends at once
    reading_bytes: float = 200.0  # four metrics as JSON
    packed_bytes: float = 62.0  # a reading in a pack: DESIGN's measurement
    stored_bytes: float = 20.0  # a reading in a segment
    memory_gb: float = 1769 / 1024
    # Microseconds a reading at one core, from `make bench` at 10,000 devices
    busy_us: dict[str, float] = msgspec.field(
        default_factory=lambda: {"ingest": 20.0, "clean": 14.0, "rule_check": 18.0, "ml_score": 33.0, "store": 11.0}
    )
    batch_ms: float = 40.0  # that a batch waits for services, whatever is in it
    shard_ms: float = 3.0  # and for each state that it reads and writes, several at a time
    anomalies_per_reading: float = 1e-5
    merges: float = 1.25  # objects that store writes for each segment, with those it merges later


class Cutting(Protocol):
    """How a stack cuts what flows into batches."""

    @property
    def window_s(self) -> float:
        """How long a batch waits to be full."""

    @property
    def side_by_side(self) -> int:
        """How many batches of a topic are cut at the same time."""

    def largest(self, topic: Topic) -> int:
        """Messages that a batch of a topic has at most."""

    def shards_in(self, topic: Topic) -> int:
        """Shards that a batch of a topic has at most."""


class Load(NamedTuple):
    """Readings a second, and devices that are connected all the time."""

    readings_per_second: float
    devices: int


class Flow(NamedTuple):
    """What a stage takes of one topic, a second."""

    stage: Stage
    topic: Topic
    readings: float
    messages: float
    bytes: float
    invocations: float


def flows_of(pipeline: Sequence[Stage], load: Load, stack: Cutting, assumed: Assumptions) -> Iterator[Flow]:
    """Stage after stage in the order of the table: what each one takes is what those before it have sent.

    Readings come from the hub; what comes by HTTP would take the same way behind it.
    """
    sent: dict[str, tuple[float, float, float]] = {}  # readings, messages and bytes a second by topic
    anomalies = load.readings_per_second * assumed.anomalies_per_reading
    for stage in pipeline:
        taken = packed = 0.0
        for topic in stage.topics:
            if topic.carries == "raw":
                messages = load.readings_per_second / assumed.readings_per_message
                flow = (load.readings_per_second, messages, load.readings_per_second * assumed.reading_bytes)
            else:
                flow = sent.get(topic.name, (0.0, 0.0, 0.0))
            invocations = invocations_of(flow[1], topic, stack)
            taken += flow[0]
            yield Flow(stage, topic, *flow, invocations)
            packed += min(invocations * stack.shards_in(topic), flow[0])
        packs = [topic for topic in stage.emits if topic.carries == "pack"]
        if packs and taken:
            sent[packs[0].name] = (taken, packed, taken * assumed.packed_bytes)
        for topic in stage.emits:
            if topic.carries in {"anomaly", "alert"} and topic.name not in sent:
                sent[topic.name] = (0.0, anomalies, anomalies * 1000)


def invocations_of(messages: float, topic: Topic, stack: Cutting) -> float:
    """A second: a batch is handed on when its window ends or it is full; with few messages, each is one."""
    if not messages:
        return 0.0
    return min(messages, max(stack.side_by_side / max(stack.window_s, 0.5), messages / stack.largest(topic)))


def touched(flow: Flow, stack: Cutting) -> float:
    """States that a batch reads and writes."""
    if flow.stage.state is None or not flow.invocations:
        return 0.0
    most = stack.shards_in(flow.topic) if flow.stage.state == "shard" else 1
    return min(most, flow.messages / flow.invocations)
