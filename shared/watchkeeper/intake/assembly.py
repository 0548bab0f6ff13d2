"""Putting readings in company: packs of one shard each, under the size limit, in the order the readings came."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

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

    def add(self, shard: int, readings: Sequence[Placed]) -> None:
        """Readings that stand for themselves: they share a pack where it has room for them."""
        held = self._open.get(shard) or self._begin(shard)
        if held.take(readings, None):
            return
        if len(readings) == 1:
            self._begin(shard).take(readings, None)
            return
        half = len(readings) // 2
        self.add(shard, readings[:half])
        self.add(shard, readings[half:])

    def add_message(self, shard: int, readings: Sequence[Placed], origin: Origin) -> None:
        """The readings of one message, all into the same pack: a pack is taken or skipped by its messages' origins.

        A message that no pack can hold goes in parts, numbered in `origin.index`. Its parts are its own matter, not
        that of the company it came in: when the message comes again, they are the same.
        """
        for index, part in enumerate(_parts(readings)):
            numbered = msgspec.structs.replace(origin, index=index)
            held = self._open.get(shard) or self._begin(shard)
            if not held.take(part, numbered):
                self._begin(shard).take(part, numbered)

    def packs(self) -> list[Pack]:
        """All packs, each shard's in order."""
        return [*self._closed, *(pack.close() for pack in self._open.values())]

    def _begin(self, shard: int) -> _OpenPack:
        """A new pack for the shard; the one that was open is closed."""
        if shard in self._open:
            self._closed.append(self._open[shard].close())
        self._open[shard] = _OpenPack(shard)
        return self._open[shard]


def _parts(readings: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    if len(readings) == 1 or _OpenPack(0).growth(readings)[0] + ORIGIN_BYTES <= ROOM:
        yield readings
    else:
        half = len(readings) // 2
        yield from _parts(readings[:half])
        yield from _parts(readings[half:])


class _OpenPack:
    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.bytes = 0
        self.readings: list[tuple[Placed, Origin | None]] = []
        self.named: set[object] = set()  # devices, sets of tags and of metrics that it holds

    def take(self, readings: Sequence[Placed], origin: Origin | None) -> bool:
        """Take readings in, all or none: whether there is room. An empty pack has room for any single one."""
        size, new = self.growth(readings)
        size += ORIGIN_BYTES if origin else 0
        if self.bytes + size > ROOM and (self.bytes or len(readings) > 1):
            return False
        self.bytes += size
        self.named |= new
        self.readings += [(reading, origin) for reading in readings]
        return True

    def growth(self, readings: Sequence[Placed]) -> tuple[int, set[object]]:
        """How many bytes these readings add at most, and what they name that the pack does not: the rest is free."""
        size = 0
        named = self.named
        new: set[object] = set()
        for reading in readings:
            metrics, who, tags = tuple(reading.sent.values), reading.who, reading.tags
            size += READING_BYTES + VALUE_BYTES * len(metrics)
            if metrics not in named and metrics not in new:
                new.add(metrics)
                size += _table_bytes(metrics)
            if who not in named and who not in new:
                new.add(who)
                size += _encoded_bytes(who)
            if tags and tags not in named and tags not in new:
                new.add(tags)
                size += _encoded_bytes(tags)
        return size, new

    def close(self) -> Pack:
        """The pack: its columns are made at once, which costs a fraction of growing each by each reading."""
        devices: dict[Device, int] = {}
        origins: dict[Origin, int] = {}
        tagsets: dict[Tags, int] = {}
        by_metrics: dict[tuple[str, ...], list[tuple[Placed, Origin | None]]] = {}
        for item in self.readings:
            by_metrics.setdefault(tuple(item[0].sent.values), []).append(item)
        tables = [
            Table.build(
                metrics,
                [devices.setdefault(it.who, len(devices)) for it, _ in rows],
                [it.received if it.ts is None else it.ts for it, _ in rows],
                [it.received for it, _ in rows],
                np.array([tuple(it.sent.values.values()) for it, _ in rows], np.float64).T,
                flags=[Flag.NO_TIME.value if it.ts is None else 0 for it, _ in rows],
                origin=[-1 if at is None else origins.setdefault(at, len(origins)) for _, at in rows],
                salt=[it.salt if it.ts is None else 0 for it, _ in rows],
                tags=[tagsets.setdefault(it.tags, len(tagsets)) if it.tags else -1 for it, _ in rows],
            )
            for metrics, rows in by_metrics.items()
        ]
        return Pack(self.shard, list(devices), tables, list(origins), [dict(tags) for tags in tagsets])


@functools.lru_cache(maxsize=4096)
def _table_bytes(metrics: tuple[str, ...]) -> int:
    return TABLE_BYTES + len(msgspec.json.encode(metrics))


@functools.lru_cache(maxsize=16_384)
def _encoded_bytes(thing: Device | Tags) -> int:
    return len(msgspec.json.encode(thing)) + 8
