"""Putting readings in company: packs of one shard each, under the size limit, in the order the readings came."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watchkeeper.packs import ORIGIN_BYTES, READING_BYTES, ROOM, TABLE_BYTES, VALUE_BYTES, Pack, Table
from watchkeeper.records import Device, Flag, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.intake.sent import SentReading

Tags = tuple[tuple[str, str], ...]


class Placed(NamedTuple):
    """A reading ready for a pack. `ts` None: the time it was received, and `salt` tells it from others of that time."""

    who: Device
    sent: SentReading
    tags: Tags
    ts: int | None
    received: int
    salt: int


class Assembly:
    """Packs in the making."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._open: dict[int, _OpenPack] = {}
        self._closed: list[Pack] = []

    def add(self, shard: int, reading: Placed) -> None:
        """A reading that stands for itself."""
        self._place(shard, [reading], None)

    def add_message(self, shard: int, readings: Sequence[Placed], origin: Origin) -> None:
        """The readings of one message, all into the same pack: a pack is taken or skipped by its messages' origins.

        A message that no pack can hold goes in parts, numbered in `origin.index`. Its parts are its own matter, not
        that of the company it came in: when the message comes again, they are the same.
        """
        for index, part in enumerate(_parts(shard, readings)):
            self._place(shard, part, msgspec.structs.replace(origin, index=index))

    def packs(self) -> list[Pack]:
        """All packs, each shard's in order."""
        return [*self._closed, *(pack.close() for pack in self._open.values())]

    def _place(self, shard: int, readings: Sequence[Placed], origin: Origin | None) -> None:
        held = self._open.get(shard) or self._open.setdefault(shard, _OpenPack(shard))
        size = held.growth(readings)
        if held.bytes and held.bytes + size > ROOM:
            self._closed.append(held.close())
            held = self._open[shard] = _OpenPack(shard)
            size = held.growth(readings)
        held.bytes += size + (ORIGIN_BYTES if origin else 0)
        for reading in readings:
            held.add(reading, origin)


def _parts(shard: int, readings: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    if len(readings) == 1 or _OpenPack(shard).growth(readings) <= ROOM:
        yield readings
    else:
        half = len(readings) // 2
        yield from _parts(shard, readings[:half])
        yield from _parts(shard, readings[half:])


@dataclasses.dataclass(slots=True)
class _Columns:
    device: list[int] = dataclasses.field(default_factory=list)
    ts: list[int] = dataclasses.field(default_factory=list)
    received: list[int] = dataclasses.field(default_factory=list)
    flags: list[int] = dataclasses.field(default_factory=list)
    origin: list[int] = dataclasses.field(default_factory=list)
    salt: list[int] = dataclasses.field(default_factory=list)
    tags: list[int] = dataclasses.field(default_factory=list)
    rows: list[tuple[float | None, ...]] = dataclasses.field(default_factory=list)


class _OpenPack:
    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.bytes = 0
        self.devices: dict[Device, int] = {}
        self.origins: dict[Origin, int] = {}
        self.tagsets: dict[Tags, int] = {}
        self.tables: dict[tuple[str, ...], _Columns] = {}

    def growth(self, readings: Sequence[Placed]) -> int:
        """How many bytes these readings add at most; what the pack already names costs nothing more."""
        size = 0
        new: set[object] = set()
        for reading in readings:
            metrics = tuple(reading.sent.values)
            size += READING_BYTES + VALUE_BYTES * len(metrics)
            if metrics not in self.tables and metrics not in new:
                new.add(metrics)
                size += _table_bytes(metrics)
            if reading.who not in self.devices and reading.who not in new:
                new.add(reading.who)
                size += _encoded_bytes(reading.who)
            if reading.tags and reading.tags not in self.tagsets and reading.tags not in new:
                new.add(reading.tags)
                size += _encoded_bytes(reading.tags)
        return size

    def add(self, reading: Placed, origin: Origin | None) -> None:
        values = reading.sent.values
        columns = self.tables.setdefault(tuple(values), _Columns())
        columns.device.append(self.devices.setdefault(reading.who, len(self.devices)))
        columns.ts.append(reading.received if reading.ts is None else reading.ts)
        columns.received.append(reading.received)
        columns.flags.append(Flag.NO_TIME if reading.ts is None else 0)
        columns.origin.append(-1 if origin is None else self.origins.setdefault(origin, len(self.origins)))
        columns.salt.append(reading.salt if reading.ts is None else 0)
        columns.tags.append(self.tagsets.setdefault(reading.tags, len(self.tagsets)) if reading.tags else -1)
        columns.rows.append(tuple(values.values()))

    def close(self) -> Pack:
        tables = [
            Table.build(
                metrics, c.device, c.ts, c.received, list(zip(*c.rows, strict=True)),
                flags=c.flags, origin=c.origin, salt=c.salt, tags=c.tags,
            )
            for metrics, c in self.tables.items()
        ]  # fmt: skip
        tagsets = [dict(tags) for tags in self.tagsets]
        return Pack(self.shard, list(self.devices), tables, origins=list(self.origins), tagsets=tagsets)


@functools.lru_cache(maxsize=4096)
def _table_bytes(metrics: tuple[str, ...]) -> int:
    return TABLE_BYTES + len(msgspec.json.encode(metrics))


@functools.lru_cache(maxsize=16_384)
def _encoded_bytes(thing: Device | Tags) -> int:
    return len(msgspec.json.encode(thing)) + 8
