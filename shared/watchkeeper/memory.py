"""Every port in memory: for tests, for trying things out, and the reference that other adapters are compared with."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Blob, Key, Message, Ports, Row, Stored
from watchkeeper.topology import TOPICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper.ports import LanguageModel, Receiver
    from watchkeeper.records import Alert


def _check(what: str, held: str | None, expect: str | Any_ | None) -> None:
    if expect is not ANYWAY and held != expect:
        message = f"{what}: expected version {expect or 'none'}, found {held or 'none'}"
        raise Conflict(message)


class MemoryStream:
    """Topics as lists. `partitions` is for sharded topics; the others have one."""

    def __init__(self, partitions: int = 4) -> None:
        """No messages yet."""
        self._partitions = partitions
        self._logs: dict[tuple[str, int], list[Stored]] = defaultdict(list)
        self._committed: dict[tuple[str, str, int], int] = {}
        self._lock = threading.Lock()

    def partitions(self, topic: str) -> int:
        """See `ports.Stream`."""
        return self._partitions if TOPICS[topic].sharded else 1

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        """See `ports.Stream`."""
        count = self.partitions(topic)
        with self._lock:
            for message in messages:
                log = self._logs[topic, message.shard % count]
                log.append(Stored(len(log), message.shard, message.value, dict(message.headers)))

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        """See `ports.Stream`."""
        return self._logs[topic, partition][after + 1 : after + 1 + limit]

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """See `ports.Stream`."""
        self._committed[group, topic, partition] = offset

    def committed(self, group: str, topic: str, partition: int) -> int:
        """See `ports.Stream`."""
        return self._committed.get((group, topic, partition), -1)


class MemoryTables:
    """Tables as dicts, whose rows last as long as they do."""

    def __init__(self) -> None:
        """No rows yet."""
        self._rows: dict[tuple[str, Key], Row] = {}
        self._sorts: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """See `ports.Tables`."""
        with self._lock:
            return {key: self._rows[table, key] for key in keys if (table, key) in self._rows}

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        """See `ports.Tables`."""
        with self._lock:
            held = self._rows.get((table, key))
            _check(f"{table} {key}", held.version if held else ABSENT, expect)
            if held is None:
                bisect.insort(self._sorts[table, key.partition], key.sort)
            version = str(next(self._versions))
            self._rows[table, key] = Row(key, value, version)
            return version

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        """See `ports.Tables`."""
        for key, value in rows.items():
            self.put(table, key, value)

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        """See `ports.Tables`."""
        with self._lock:
            sorts = self._sorts[table, partition]
            chosen = sorts[bisect.bisect_left(sorts, low) : bisect.bisect_left(sorts, high) if high else len(sorts)]
            chosen = chosen[::-1] if descending else chosen
            return [self._rows[table, Key(partition, sort)] for sort in chosen[:limit]]


class MemoryBlobs:
    """Objects as a dict."""

    def __init__(self) -> None:
        """No objects yet."""
        self._blobs: dict[str, Blob] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        """See `ports.Blobs`."""
        with self._lock:
            return {key: self._blobs[key] for key in keys if key in self._blobs}

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        """See `ports.Blobs`."""
        return {key: blob.version for key, blob in self.get_many(keys).items()}

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        """See `ports.Blobs`."""
        with self._lock:
            held = self._blobs.get(key)
            _check(key, held.version if held else ABSENT, expect)
            version = str(next(self._versions))
            self._blobs[key] = Blob(data, version)
            return version

    def delete(self, keys: Sequence[str]) -> None:
        """See `ports.Blobs`."""
        with self._lock:
            for key in keys:
                self._blobs.pop(key, None)

    def list(self, prefix: str) -> list[str]:
        """See `ports.Blobs`."""
        with self._lock:
            return sorted(key for key in self._blobs if key.startswith(prefix))


class MemoryMeter:
    """Amounts as a dict."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self._amounts: dict[tuple[str, str, str], float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, day: str, stage: str, amounts: Mapping[str, float]) -> None:
        """See `ports.Meter`."""
        with self._lock:
            for name, amount in amounts.items():
                self._amounts[day, stage, name] += amount

    def total(self, first_day: str, last_day: str) -> dict[str, dict[str, float]]:
        """See `ports.Meter`."""
        totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        with self._lock:
            counted = list(self._amounts.items())
        for (day, stage, name), amount in counted:
            if first_day <= day <= last_day:
                totals[stage][name] += amount
        return {stage: dict(amounts) for stage, amounts in totals.items()}


class MemoryReceiver:
    """Keeps the alerts it was sent."""

    def __init__(self, name: str = "memory") -> None:
        """No alerts yet."""
        self.name = name
        self.alerts: list[Alert] = []

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        self.alerts.append(alert)


def memory_ports(
    partitions: int = 4,
    *,
    language_model: LanguageModel | None = None,
    receivers: Mapping[str, Receiver] | None = None,
) -> Ports:
    """All ports in memory; what one of them has done is not undone when another fails."""
    return Ports(
        MemoryStream(partitions),
        MemoryTables(),
        MemoryBlobs(),
        MemoryMeter(),
        contextlib.nullcontext,
        language_model,
        dict(receivers or {}),
    )
