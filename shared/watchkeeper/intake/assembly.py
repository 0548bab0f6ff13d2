"""Putting readings in company: packs of one shard each, under the size limit, in the order the readings came."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from watchkeeper.packs import MAX_PACK_BYTES, Pack, Table
from watchkeeper.records import Device, Flag

if TYPE_CHECKING:
    from watchkeeper.intake.bodies import SentReading
    from watchkeeper.records import Origin

# What a reading takes on the wire at most, roughly: its times and indices, and each value; later stages add verdicts.
READING_BYTES = 72
VALUE_BYTES = 21
ROOM = MAX_PACK_BYTES - 16 * 1024


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
        self.tagsets: dict[tuple[tuple[str, str], ...], int] = {}
        self.tables: dict[tuple[str, ...], _Columns] = {}

    def add(
        self, who: Device, sent: SentReading, ts: int | None, received: int, origin: Origin | None, salt: int
    ) -> None:
        columns = self.tables.setdefault(tuple(sent.values), _Columns())
        columns.device.append(self.devices.setdefault(who, len(self.devices)))
        columns.ts.append(received if ts is None else ts)
        columns.received.append(received)
        columns.flags.append(Flag.NO_TIME if ts is None else 0)
        columns.origin.append(-1 if origin is None else self.origins.setdefault(origin, len(self.origins)))
        columns.salt.append(salt if ts is None else 0)
        tags = tuple((name, str(value)) for name, value in sent.tags.items())
        columns.tags.append(self.tagsets.setdefault(tags, len(self.tagsets)) if tags else -1)
        columns.rows.append(tuple(sent.values.values()))

    def close(self) -> Pack:
        tables = [
            Table.build(
                metrics, c.device, c.ts, c.received, list(zip(*c.rows, strict=True)),
                flags=c.flags, origin=c.origin, salt=c.salt, tags=c.tags,
            )
            for metrics, c in self.tables.items()
        ]  # fmt: skip
        tagsets = [dict(tags) for tags in self.tagsets]
        return Pack(self.shard, list(self.devices), tables, None, list(self.origins), tagsets)


class Assembly:
    """Packs in the making. All readings of one message of a device go into the same pack."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._open: dict[int, _OpenPack] = {}
        self._closed: list[Pack] = []

    def make_room(self, shard: int, size: int) -> None:
        """Close the shard's pack if `size` more bytes would take it over the limit."""
        held = self._open.get(shard)
        if held is not None and held.bytes + size > ROOM:
            self._closed.append(self._open.pop(shard).close())

    def add(
        self,
        shard: int,
        who: Device,
        sent: SentReading,
        ts: int | None,
        received: int,
        origin: Origin | None,
        salt: int,
    ) -> None:
        """One more reading; `ts` None: the time it was received, and `salt` tells it from others of that time."""
        held = self._open.setdefault(shard, _OpenPack(shard))
        held.bytes += size_of(sent)
        held.add(who, sent, ts, received, origin, salt)

    def packs(self) -> list[Pack]:
        """All packs, each shard's in order."""
        return [*self._closed, *(pack.close() for pack in self._open.values())]


def size_of(sent: SentReading) -> int:
    """About how many bytes a reading takes in a pack; metric names and tags are counted as if they came only once."""
    names = sum(map(len, sent.values)) // 8
    tags = sum(len(k) + len(str(v)) + 8 for k, v in sent.tags.items()) // 8
    return READING_BYTES + VALUE_BYTES * len(sent.values) + names + tags
