"""Stored readings through the stages again: over ports in memory, so that nothing is sent and nobody is paged.

The unit is an hour of a shard. The states live in memory for as long as a shard is replayed; the stream forgets what
has been taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.memory import MemoryBlobs, MemoryMeter, MemoryTables
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message, Ports, Stored
from watchkeeper.published import Published
from watchkeeper.records import Anomaly, DeadLetter, Episode
from watchkeeper.run import Runner
from watchkeeper.topology import (
    DASHBOARD_ALERTS,
    DATA_PROCESSING_OUTPUT,
    DEAD_LETTER,
    EPISODES,
    FINAL_DATA_STORAGE,
    IOT_DATA_INGESTION,
    RAG_ERROR_REPORTING,
    RULE_CHECK_OUTPUT,
)
from watchkeeper.wire import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.detection.classes import ClassBook
    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Ints
    from watchkeeper.reprocessing.plan import StageName
    from watchkeeper.topology import Topic

CHAIN = (
    ("clean", IOT_DATA_INGESTION, DATA_PROCESSING_OUTPUT),
    ("rule_check", DATA_PROCESSING_OUTPUT, RULE_CHECK_OUTPUT),
    ("ml_score", RULE_CHECK_OUTPUT, FINAL_DATA_STORAGE),
)


@dataclasses.dataclass(slots=True)
class Replay:
    """The stages from `first` on, for one shard, with their states. `explain`: also gather episodes.

    `classes` is what is known of the classes of devices; without it each device is known by its own past only.

    `until` names the last stage. StateError, from `take`: a reading does not come through.
    """

    shard: int
    shards: int
    bundle: Bundle
    model: Model | None
    first: StageName
    until: StageName = "ml_score"
    explain: bool = False
    classes: ClassBook | None = None
    now: int = 0
    _salt: int = 1
    ports: Ports = dataclasses.field(init=False)
    _stream: _Passing = dataclasses.field(init=False)
    _runners: list[tuple[Runner, Topic]] = dataclasses.field(init=False)
    _explainer: Runner = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Begin with stages that know nothing yet."""
        names = [name for name, _, _ in CHAIN]
        chain = CHAIN[names.index(self.first) : names.index(self.until) + 1]
        self._stream = _Passing()
        self.ports = Ports(self._stream, MemoryTables(), MemoryBlobs(), MemoryMeter(), contextlib.nullcontext)
        published = Published(self.ports, self.bundle, model=self.model, classes=self.classes)
        self._runners = [(self._runner(name, taken, published), given) for name, taken, given in chain]
        self._explainer = self._runner("rag_explain", RAG_ERROR_REPORTING, published)

    def take(self, given: Pack) -> tuple[list[Pack], list[Anomaly]]:
        """What the last stage hands on, and all anomalies on the way."""
        self.now = max(self.now, *(int(table.received.max()) for table in given.tables))
        taken = given.with_tables([self._distinct(table) for table in given.tables]) if self.first == "clean" else given
        self._stream.append(self._topic_in.name, [Message(self.shard, taken.encode())])
        out = self._topic_in
        for runner, out in self._runners:
            topic = runner.topic or out
            runner.take(0, self._stream.drained(topic))
        packs = [Pack.decode(message.value) for message in self._stream.drained(out)]
        edges = self._stream.drained(RAG_ERROR_REPORTING)
        if self.explain and edges:
            self._explainer.take(0, edges)
            self._stream.drained(DASHBOARD_ALERTS)  # alerts end here: there is no notify
        self._complain()
        _check_same(given, packs)
        return packs, [msgspec.json.decode(edge.value, type=Anomaly) for edge in edges]

    def episodes(self, tenant: str, opened_from: int) -> list[Episode]:
        """The episodes of a tenant that have opened at `opened_from` (epoch ms) or later."""
        low, found = f"{max(opened_from, 0):013d}", []
        while rows := self.ports.tables.query(EPISODES.name, tenant, low):
            found += [read_record(row.value, Episode) for row in rows]
            low = f"{rows[-1].key.sort}\0"
        return found

    @property
    def _topic_in(self) -> Topic:
        return self._runners[0][0].topic or IOT_DATA_INGESTION

    def _distinct(self, table: Table) -> Table:
        """An id of its own for each reading: what clean took for a repetition is not stored, so none is one now."""
        self._salt += len(table)
        return dataclasses.replace(table, salt=np.arange(self._salt - len(table), self._salt))

    def _runner(self, name: str, topic: Topic, published: Published) -> Runner:
        return Runner(STAGES[name], topic, self.ports, published, self.shards, lambda: self.now)

    def _complain(self) -> None:
        for message in self._stream.drained(DEAD_LETTER):
            letter = msgspec.json.decode(message.value, type=DeadLetter)
            text = f"a stored reading is refused by {letter.stage}: {letter.reason}"
            raise StateError(text)


class _Passing:
    """A stream of one partition that forgets what has been read; see `ports.Stream`."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[Stored]] = defaultdict(list)
        self._next: defaultdict[str, int] = defaultdict(int)

    def partitions(self, topic: str) -> int:
        del topic
        return 1

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        for message in messages:
            self._waiting[topic].append(Stored(self._next[topic], *message))
            self._next[topic] += 1

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        del partition
        return [message for message in self._waiting[topic] if message.offset > after][:limit]

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        del group, partition
        self._waiting[topic] = [message for message in self._waiting[topic] if message.offset > offset]

    def committed(self, group: str, topic: str, partition: int) -> int:
        del group, partition
        return self._next[topic] - len(self._waiting[topic]) - 1

    def drained(self, topic: Topic) -> list[Stored]:
        """All that waits on a topic, which is then empty."""
        return self._waiting.pop(topic.name, [])


def _check_same(given: Pack, packs: Sequence[Pack]) -> None:
    """Has every reading come through, and no other?"""
    before, after = _whose(given), np.concatenate([_whose(pack) for pack in packs] or [np.empty((3, 0), np.int64)], 1)
    if before.shape != after.shape or (before[:, np.lexsort(before)] != after[:, np.lexsort(after)]).any():
        message = (
            f"of {before.shape[1]} stored readings {after.shape[1]} came through the stages, or with other times; "
            "this span cannot be reprocessed from this stage, try a later one"
        )
        raise StateError(message)


def _whose(pack: Pack) -> Ints:
    columns = [np.stack([table.device, table.ts, table.received]) for table in pack.tables]
    return np.concatenate(columns or [np.empty((3, 0), np.int64)], axis=1)
