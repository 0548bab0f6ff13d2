"""Taking packs of a shard together: many small ones cost a stage far more than one with the same readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.outcome import Delivered
from watchkeeper.packs import ROOM, Ints, Pack, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.records import Device, Origin


class Group:
    """Packs of one shard that can be taken together, in their order.

    No device may be in tables of different metrics, and none may go back in time: within a table readings keep their
    order, between tables they do not, and a stage must see a device's readings as if each pack had come by itself.
    """

    def __init__(self) -> None:
        """None yet."""
        self.packs: list[Pack] = []
        self._bytes = 0
        self._seen: dict[tuple[str, str], tuple[tuple[str, ...], int]] = {}

    def add(self, pack: Pack) -> bool:
        """Take it in, if it may be; the first one always may."""
        seen = dict(self._seen)
        size = pack.most_bytes()
        fits = self._bytes + size <= ROOM  # what they become together must travel on in one message
        for table in pack.tables:
            oldest = np.full(len(pack.devices), np.iinfo(np.int64).max)
            newest = np.zeros(len(pack.devices), np.int64)
            np.minimum.at(oldest, table.device, table.ts)
            np.maximum.at(newest, table.device, table.ts)
            for device in np.unique(table.device).tolist():
                key = (pack.devices[device].tenant, pack.devices[device].device)
                metrics, before = seen.get(key, (table.metrics, 0))
                fits = fits and metrics == table.metrics and int(oldest[device]) >= before
                seen[key] = (table.metrics, int(newest[device]))
        if self.packs and not fits:
            return False
        self.packs.append(pack)
        self._bytes += size
        # A pack that does not keep to this itself is taken alone: nothing can be added to it.
        self._seen, self._bytes = seen, self._bytes if fits else ROOM
        return True


def join(packs: Sequence[Pack]) -> Pack:
    """One pack with the readings of several of one shard, in their order; each keeps its origin and tags."""
    if len(packs) == 1:
        return packs[0]
    devices: dict[Device, int] = {}
    origins: dict[Origin, int] = {}
    tagsets: dict[tuple[tuple[str, str], ...], int] = {}
    parts: dict[tuple[str, ...], list[Table]] = {}
    for pack in packs:
        device = np.array([devices.setdefault(each, len(devices)) for each in pack.devices], np.int64)
        origin = _with_none([origins.setdefault(each, len(origins)) for each in pack.origins])
        tags = _with_none([tagsets.setdefault(tuple(each.items()), len(tagsets)) for each in pack.tagsets])
        for table in pack.tables:
            moved = Table(
                table.metrics, device[table.device], table.ts, table.received, table.values, table.flags, table.salt,
                origin[table.origin], tags[table.tags], table.score, table.rules,
            )  # fmt: skip
            parts.setdefault(table.metrics, []).append(moved)
    tables = [concatenated(each) for each in parts.values()]
    return Pack(packs[0].shard, list(devices), tables, list(origins), [dict(each) for each in tagsets])


def concatenated(tables: Sequence[Table]) -> Table:
    """One table of several with the same metrics, indices into the same lists; all of them scored, or none."""
    if len(tables) == 1:
        return tables[0]
    rules: dict[int, list[str]] = {}
    start = 0
    for table in tables:
        rules |= {start + row: ids for row, ids in table.rules.items()}
        start += len(table)
    names = ("device", "ts", "received", "flags", "salt", "origin", "tags", "score")
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    values = np.concatenate([table.values for table in tables], axis=1)
    return Table(tables[0].metrics, values=values, rules=rules, **columns)


def _with_none(places: list[int]) -> Ints:
    """New places of old indices; the last stands for −1, none."""
    return np.array([*places, -1], np.int64)


def together(delivered: Sequence[Delivered]) -> list[Delivered]:
    """The same, with packs of a shard taken together where that changes nothing; the others as they are."""
    result: list[Delivered] = []
    groups: dict[int, tuple[Origin, Group]] = {}
    for item in delivered:
        if not isinstance(item.record, Pack):
            result.append(item)
            continue
        origin, group = groups.get(item.record.shard, (item.origin, Group()))
        if not group.add(item.record):
            result.append(Delivered(origin, join(group.packs)))
            origin, group = item.origin, Group()
            group.add(item.record)
        groups[item.record.shard] = (origin, group)
    return result + [Delivered(origin, join(group.packs)) for origin, group in groups.values()]
