"""Stored readings through `ml_score` itself with a given model: one causal pass, in memory, that nobody is told of."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.detection.classes import ClassBook
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device, Flag
from watchkeeper.reprocessing.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Bools, Floats, Ints
    from watchkeeper.series.query import DeviceHistory

ROWS = 4_000  # readings that are scored at once
_BY_MODEL = int(Flag.WARMING | Flag.ANOMALOUS)


class Rescored(NamedTuple):
    """Of each reading: its score (n), and whether it was in an episode, or too early for one."""

    score: Floats
    anomalous: Bools
    warming: Bools


def rescore(
    histories: Sequence[DeviceHistory], bundle: Bundle, model: Model | None, classes: ClassBook | None = None
) -> list[Rescored]:
    """What `ml_score` says of each history, knowing nothing of it before but its class; None: without a model.

    They are taken side by side, which costs much less than one after the other. StateError: a reading does not come
    through.
    """
    found = [Rescored(np.zeros(len(h.ts)), np.zeros(len(h.ts), bool), np.ones(len(h.ts), bool)) for h in histories]
    filled = [0] * len(histories)
    replay = Replay(0, 1, bundle, model, "ml_score", classes=_by_number(classes, histories))
    for given in _packs(histories):
        packs, _ = replay.take(given)
        for pack in packs:
            for table in pack.tables:
                for device in np.unique(table.device).tolist():
                    rows = np.flatnonzero(table.device == device)
                    number = int(pack.devices[device].tenant)
                    place = slice(filled[number], filled[number] + len(rows))
                    flags = table.flags[rows]
                    found[number].score[place] = table.score[rows]
                    found[number].anomalous[place] = (flags & Flag.ANOMALOUS) != 0
                    found[number].warming[place] = (flags & Flag.WARMING) != 0
                    filled[number] += len(rows)
    return found


def _by_number(classes: ClassBook | None, histories: Sequence[DeviceHistory]) -> ClassBook | None:
    """What is known of classes by the tenants of `_packs`."""
    if classes is None:
        return None
    tenants = {str(number): classes.tenants.get(history.tenant, {}) for number, history in enumerate(histories)}
    return ClassBook(classes.ts, tenants)


def _packs(histories: Sequence[DeviceHistory]) -> Iterator[Pack]:
    """The next readings of every history, again and again; each history is of a tenant of its own, its number.

    So several stretches of one device do not mix.
    """
    devices = [Device(str(number), history.device, "") for number, history in enumerate(histories)]
    alike: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, history in enumerate(histories):
        alike[history.metrics].append(number)
    longest = max((len(history.ts) for history in histories), default=0)
    each = max(1, ROWS // max(1, len(histories)))
    for low in range(0, longest, each):
        rows = slice(low, low + each)
        groups = ((metrics, [n for n in numbers if low < len(histories[n].ts)]) for metrics, numbers in alike.items())
        yield Pack(0, devices, [_table(metrics, numbers, histories, rows) for metrics, numbers in groups if numbers])


def _table(metrics: tuple[str, ...], numbers: list[int], histories: Sequence[DeviceHistory], rows: slice) -> Table:
    ts: Ints = np.concatenate([histories[number].ts[rows] for number in numbers])
    device = np.repeat(numbers, [len(histories[number].ts[rows]) for number in numbers])
    values = np.concatenate([histories[number].values[:, rows] for number in numbers], axis=1)
    flags = np.concatenate([histories[number].flags[rows] for number in numbers]) & ~_BY_MODEL
    return Table.build(metrics, device, ts, ts, values, flags=flags)
