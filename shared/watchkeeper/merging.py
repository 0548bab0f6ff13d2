"""Taking packs of a shard together: many small ones cost a stage far more than one with the same readings."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.outcome import Delivered
from watchkeeper.packs import ROOM, Ints, Pack, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.records import Device, Origin


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
    packs: dict[int, list[tuple[Origin, Pack]]] = {}
    for item in delivered:
        if isinstance(item.record, Pack):
            packs.setdefault(item.record.shard, []).append((item.origin, item.record))
        else:
            result.append(item)
    for of_shard in packs.values():
        result += [Delivered(group[0][0], join([pack for _, pack in group])) for group in _groups(of_shard)]
    return result


def _groups(packs: Sequence[tuple[Origin, Pack]]) -> Iterator[Sequence[tuple[Origin, Pack]]]:
    """All of them if they can be taken together, else each half by itself."""
    if len(packs) == 1 or may_join([pack for _, pack in packs]):
        yield packs
    else:
        half = len(packs) // 2
        yield from _groups(packs[:half])
        yield from _groups(packs[half:])


def may_join(packs: Sequence[Pack]) -> bool:
    """May these packs of one shard, in this order, be taken as one?

    Together they must travel on in one message. No device may be in tables of different metrics, and none may go back
    in time: within a table readings keep their order, between tables they do not, and a stage must see a device's
    readings as if each pack had come by itself.
    """
    if any(size > ROOM for size in accumulate(pack.most_bytes() for pack in packs)):
        return False
    kinds: dict[tuple[str, ...], int] = {}
    tables = [(pack.hashes, table) for pack in packs for table in pack.tables]
    if not tables:
        return True
    device = np.concatenate([hashes[table.device] for hashes, table in tables])
    ts = np.concatenate([table.ts for _, table in tables])
    kind = np.repeat([kinds.setdefault(table.metrics, len(kinds)) for _, table in tables], [len(t) for _, t in tables])
    by_device = np.argsort(device, kind="stable")
    device, ts, kind = device[by_device], ts[by_device], kind[by_device]
    wrong = (ts[1:] < ts[:-1]) | (kind[1:] != kind[:-1])
    return not (wrong & (device[1:] == device[:-1])).any()
