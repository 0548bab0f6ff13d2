"""Stored readings through the stages again: over ports in memory, so that nothing is sent and nobody is paged.

The unit is an hour of a shard. The states live in memory for as long as a shard is replayed; the stream forgets what
has been taken.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.memory import MemoryBlobs, MemoryMeter, MemoryTables
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message, Ports, Stored
from watchkeeper.published import Published
from watchkeeper.records import Anomaly, DeadLetter, Device, Episode, Flag
from watchkeeper.run import Runner
from watchkeeper.series.span import stored_span
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Ints
    from watchkeeper.ports import Blobs
    from watchkeeper.reprocessing.plan import StageName
    from watchkeeper.series.assembly import Assembly
    from watchkeeper.series.section import Section
    from watchkeeper.topology import Topic

HOUR_MS = 3_600_000
ROWS = 2_000  # readings that go through the stages at once
CHAIN = (
    ("clean", IOT_DATA_INGESTION, DATA_PROCESSING_OUTPUT),
    ("rule_check", DATA_PROCESSING_OUTPUT, RULE_CHECK_OUTPUT),
    ("ml_score", RULE_CHECK_OUTPUT, FINAL_DATA_STORAGE),
)
_BY_MODEL = Flag.WARMING | Flag.ANOMALOUS
_FROM_BEFORE = {
    # What clean says of a reading it says again, but for what only the raw value or its first coming could tell.
    "clean": int(Flag.NO_TIME | Flag.CORRECTION | Flag.INVALID | Flag.FILLED),
    "rule_check": ~int(_BY_MODEL),
    "ml_score": ~int(_BY_MODEL),
}


class Stretch(NamedTuple):
    """Readings as they are stored, and the same as the first stage is to take them: row by row in the same order."""

    stored: Pack
    given: Pack


def stretches(
    blobs: Blobs, shard: int, start: int, end: int, stage: StageName, bundle: Bundle, *, tenant: str = ""
) -> Iterator[Stretch]:
    """The readings of a shard (`tenant`: only its own) in [start, end), in the order of arrival as far as it is known.

    Arrival is known by the time of receipt. A stretch ends where a device speaks after a silence that a rule is
    about, since that is heard between packs only.
    """
    assembly = stored_span(blobs, shard, start, end)
    for _, section in assembly.sections(by_time=True):
        order = _arrival(section)
        if tenant:
            own = np.repeat([of == tenant for of, _ in section.devices], section.counts)
            order = order[own[order]]
        for rows in _cut(section, order, bundle):
            tables = [
                _table(section, assembly, part, metrics)
                for metrics, part in (_patterns(section, rows) if stage == "clean" else [(section.metrics, rows)])
            ]
            pack = _pack(shard, section, assembly, tables)
            yield Stretch(pack, pack.with_tables([_given(table, stage) for table in tables]))


@dataclasses.dataclass(slots=True)
class Replay:
    """The stages from `first` on, for one shard, with their states. `explain`: also gather episodes.

    `until` names the last stage. StateError, from `take`: a reading does not come through.
    """

    shard: int
    shards: int
    bundle: Bundle
    model: Model | None
    first: StageName
    until: StageName = "ml_score"
    explain: bool = False
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
        published = Published(self.ports, self.bundle, model=self.model)
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
            found += [msgspec.json.decode(row.value, type=Episode) for row in rows]
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


def _arrival(section: Section) -> Ints:
    """The rows in the order of receipt; those of one device and time keep the order they are stored in."""
    if not len(section.ts):
        return np.empty(0, np.int64)
    device = np.repeat(np.arange(len(section.devices)), section.counts)
    new = np.ones(len(device), np.bool_)
    new[1:] = (np.diff(device) != 0) | (np.diff(section.ts) != 0)
    place, received = np.cumsum(new), section.received - section.received.min()
    apart = int(received.max()) + 1
    not_before = np.maximum.accumulate(received + place * apart) - place * apart
    return np.argsort(not_before, kind="stable")


def _cut(section: Section, order: Ints, bundle: Bundle) -> Iterator[Ints]:
    device = np.repeat(np.arange(len(section.devices)), section.counts)[order]
    received = section.received[order]
    by_device = np.argsort(device, kind="stable")
    quiet = np.zeros(len(order), np.int64)
    quiet[by_device[1:]] = np.diff(received[by_device])
    quiet[by_device[np.flatnonzero(np.diff(device[by_device], prepend=-1))]] = 0
    patience = np.array([_patience(bundle, name) for _, name in section.devices], np.int64)
    ends = {*np.flatnonzero(quiet >= patience[device]).tolist(), *range(0, len(order), ROWS), len(order)}
    bounds = sorted(ends)
    yield from (order[low:high] for low, high in itertools.pairwise(bounds))


def _patience(bundle: Bundle, device: str) -> int:
    """The shortest silence of a device, in ms, that a rule is about."""
    rules = bundle.rules.for_class(bundle.catalogue.profile(device).class_name)
    return min((rule.no_data_ms for rule in rules if rule.kind == "no_data"), default=np.iinfo(np.int64).max)


def _patterns(section: Section, rows: Ints) -> Iterator[tuple[tuple[str, ...], Ints]]:
    """Rows by the metrics they have, as they once came; those that have none are said to have all.

    Where several rows have the same metrics their order stays.
    """
    has = ~np.isnan(section.values[:, rows])
    patterns, which = np.unique(has, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        metrics = [name for name, there in zip(section.metrics, pattern, strict=True) if there]
        yield tuple(metrics) or section.metrics, rows[which.reshape(-1) == number]


def _table(section: Section, assembly: Assembly, rows: Ints, metrics: tuple[str, ...]) -> Table:
    device = np.repeat(np.arange(len(section.devices)), section.counts)[rows]
    places = [section.metrics.index(name) for name in metrics]
    rulesets, sets = assembly.rulesets, section.rules[rows]
    return Table.build(
        metrics,
        device,
        section.ts[rows],
        section.received[rows],
        section.values[np.array(places, np.int64)[:, None], rows],
        flags=section.flags[rows],
        tags=section.tags[rows],
        score=section.score[rows],
        rules={row: list(rulesets[sets[row]]) for row in np.flatnonzero(sets >= 0).tolist()},
    )


def _pack(shard: int, section: Section, assembly: Assembly, tables: list[Table]) -> Pack:
    devices = [Device(*key, assembly.sites.get(key, "")) for key in section.devices]
    return Pack(shard, devices, tables, tagsets=assembly.tagsets)


def _given(table: Table, stage: StageName) -> Table:
    """A table without the verdicts that are to be made anew."""
    return dataclasses.replace(
        table,
        flags=table.flags & _FROM_BEFORE[stage],
        score=np.empty(0),
        rules=table.rules if stage == "ml_score" else {},
    )


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
