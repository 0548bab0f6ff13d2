"""Drives one stage of the pipeline through the real runner, over memory ports, with the shipped knowledge base."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.bundles import publish_bundle
from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.knowledge.bundle import FOLDERS, Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Key, Message
from watchkeeper.published import Published
from watchkeeper.records import DeadLetter, Device
from watchkeeper.run import Runner
from watchkeeper.topology import DEAD_LETTER
from watchkeeper.wire import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from watchkeeper.ports import Ports
    from watchkeeper.topology import TableSpec, Topic

KNOWLEDGE = Path(__file__).parents[3] / "knowledge_base"
NOW = 1_795_000_000_000  # 2026-11-18, wall time at which a test begins
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@functools.cache
def shipped() -> Bundle:
    files = [file for folder in FOLDERS for file in (KNOWLEDGE / folder).iterdir()]
    return Bundle.from_files({str(file.relative_to(KNOWLEDGE)): file.read_text("utf-8") for file in files})


@functools.cache
def changed(**files: str | None) -> Bundle:
    """The shipped bundle with files replaced or (None) taken out; `rules__pump` stands for rules/pump.yaml."""
    held = dict(shipped().files)
    for name, text in files.items():
        file = f"{name.replace('__', '/')}.yaml"
        held.pop(file, None)
        if text is not None:
            held[file] = text
    return Bundle.from_files(held)


class Crash(BaseException):
    """The process is gone: nothing catches it."""


class Drive:
    """One stage on one topic. `now` is its clock, which only the test moves."""

    def __init__(
        self, stage: str, ports: Ports | None = None, *, topic: Topic | None = None, bundle: Bundle | None = None,
        shards: int = 1, budget: float = 0.0,
    ) -> None:  # fmt: skip
        self.stage = STAGES[stage]
        self.topic = topic or next(iter(self.stage.topics), None)
        self.ports = ports or memory_ports(partitions=1)
        self.published = Published(self.ports, bundle or shipped(), Budget(budget, LOCAL))
        self.shards, self.now = shards, NOW
        self._taken = -1
        self._read: Counter[str] = Counter()
        self.restart()

    def restart(self) -> None:
        """A new process: what it knows, it reads."""
        self.runner = Runner(self.stage, self.topic, self.ports, self.published, self.shards, lambda: self.now)

    def put(self, *records: object, **headers: str) -> None:
        """Messages on the stage's topic, not taken yet."""
        messages = [Message(0, r if isinstance(r, bytes) else encode(r), headers) for r in records]  # type: ignore[arg-type]
        self.ports.stream.append(self.topic.name, messages)

    def take(self, *records: object, limit: int = 1000, **headers: str) -> Counter[str]:
        """Put these, then take all that is there, as one batch. If it fails, the next call takes the same again."""
        self.put(*records, **headers)
        messages = self.ports.stream.read(self.topic.name, 0, self._taken, limit)
        counts = self.runner.take(0, messages)
        self._taken = messages[-1].offset if messages else self._taken
        return counts

    def tick(self, after: int = 0) -> Counter[str]:
        """The stage's timer, `after` ms from now."""
        self.now += after
        return self.runner.tick(range(self.shards))

    def came(self, topic: Topic) -> list:
        """What was emitted to a topic since the last look."""
        stored = self.ports.stream.read(topic.name, 0, self._read[topic.name] - 1, 100_000)
        self._read[topic.name] += len(stored)
        return [decode(topic, message) for message in stored]

    def dead(self) -> list[DeadLetter]:
        stored = self.ports.stream.read(DEAD_LETTER.name, 0, -1, 100_000)
        return [msgspec.json.decode(message.value, type=DeadLetter) for message in stored]

    def row(self, table: TableSpec, partition: str, sort: str) -> msgspec.Struct | None:
        key = Key(partition, sort)
        row = self.ports.tables.get_many(table.name, [key]).get(key)
        return msgspec.json.decode(row.value, type=table.record) if row else None

    def rows(self, table: TableSpec, partition: str) -> list:
        return [msgspec.json.decode(r.value, type=table.record) for r in self.ports.tables.query(table.name, partition)]

    def publish(self, bundle: Bundle) -> None:
        """Put a bundle in force, and let the worker see it."""
        publish_bundle(self.ports.blobs, bundle)
        self.now += MINUTE

    @contextlib.contextmanager
    def crash_at(self, port: str, method: str, *, call: int = 1) -> Iterator[None]:
        """The process dies when it calls this method of a port for the `call`th time; afterwards a new one runs."""
        target, calls = getattr(self.ports, port), 0
        real = getattr(target, method)

        def dies(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls >= call:
                raise Crash
            return real(*args, **kwargs)

        setattr(target, method, dies)
        try:
            yield
        except Crash:
            pass
        else:
            raise AssertionError(f"{port}.{method} was called {calls} times, not {call}")
        finally:
            delattr(target, method)
            self.restart()


def pack_of(
    device: str, metrics: str | Sequence[str], rows: Sequence[Sequence[float | None]], *, received: int | None = None,
    tenant: str = "default", site: str = "", **columns: Sequence[int],
) -> Pack:  # fmt: skip
    """Readings of one device as [time, value, value, …]; they are received when they happen, unless said otherwise."""
    names = tuple(metrics.split()) if isinstance(metrics, str) else tuple(metrics)
    times = [int(row[0] or 0) for row in rows]
    values = [[row[1 + m] for row in rows] for m in range(len(names))]
    came = times if received is None else [received] * len(rows)
    table = Table.build(names, [0] * len(rows), times, came, values, **columns)  # type: ignore[arg-type]
    return Pack(0, [Device(tenant, device, site)], [table])


def joined(*packs: Pack) -> Pack:
    """Several packs as one: their tables side by side."""
    devices: dict[Device, int] = {}
    tables = []
    for pack in packs:
        index = [devices.setdefault(who, len(devices)) for who in pack.devices]
        for table in pack.tables:
            own = [index[device] for device in table.device.tolist()]
            tables.append(dataclasses.replace(table, device=table.device * 0 + own))
    return Pack(0, list(devices), tables)


def readings_of(packs: Sequence[Pack]) -> list:
    return [reading for pack in packs for reading in pack.readings()]


def values_of(packs: Sequence[Pack]) -> list[tuple[str, int, Mapping[str, float | None]]]:
    return [(r.device, r.ts, r.values) for r in readings_of(packs)]
