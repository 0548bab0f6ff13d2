"""What clean remembers of all devices that send the same metrics together, as columns: one row for each device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np

from watchkeeper.packs import Floats, Ints

TRAIL = 6  # of a metric that is filled: time and value of two beginnings of stretches, and of the last good value
WATCHED = 5  # of a metric that may be stuck: what `sticking.follow` remembers of it


@dataclasses.dataclass(slots=True)
class MetricSet:
    """Devices that send these metrics, in name order, together; k of them, m metrics.

    `owner` (k) are devices of the shard, `where` the row of each of these (−1: none). `newest` and `born` (k) are the
    newest and the first event time, epoch ms; `noted` (k) the stretch in which the set was last noted (`watching`).
    `cell` (k) is when the span began that `counts` (k, 2 + 4m) are of: readings, late, then valid, stuck, filled and
    good of each metric. `trails` and `watched` are of the metrics that the catalogue wants filled or watched.
    """

    metrics: tuple[str, ...]
    owner: Ints
    newest: Ints
    born: Ints
    noted: Ints
    cell: Ints
    counts: Ints
    trails: dict[str, Floats]
    watched: dict[str, Floats]
    where: Ints

    @classmethod
    def empty(cls, metrics: Sequence[str]) -> MetricSet:
        """Of no device yet."""
        none = np.empty(0, np.int64)
        counts = np.empty((0, 2 + 4 * len(metrics)), np.int64)
        return cls(tuple(metrics), none, none, none, none, none, counts, {}, {}, none)

    def rows(self, devices: Ints, known: int) -> tuple[Ints, Ints]:
        """The row of each of these devices of a shard that has `known`; and which of the rows are new (−1: none)."""
        if len(self.where) < known:
            more = np.full(max(known - len(self.where), len(self.where) // 2), -1)
            self.where = np.concatenate([self.where, more])
        found = self.where[devices]
        new = np.flatnonzero(found < 0)
        if not len(new):
            return found, new
        fresh = np.unique(devices[new])
        self.where[fresh] = len(self.owner) + np.arange(len(fresh))
        self._grow(fresh)
        return self.where[devices], self.where[fresh]

    def trail(self, metric: str) -> Floats:
        """What is remembered of a metric that is filled (k, TRAIL), NaN where nothing is."""
        return self._table(self.trails, metric, TRAIL)

    def watch(self, metric: str) -> Floats:
        """What is remembered of a metric that may be stuck (k, WATCHED)."""
        return self._table(self.watched, metric, WATCHED)

    def _table(self, tables: dict[str, Floats], metric: str, width: int) -> Floats:
        if metric not in tables:
            tables[metric] = np.full((len(self.owner), width), np.nan)
        return tables[metric]

    def _grow(self, fresh: Ints) -> None:
        zeros = np.zeros(len(fresh), np.int64)
        self.owner = np.concatenate([self.owner, fresh])
        self.newest, self.born, self.noted, self.cell = (
            np.concatenate([column, zeros]) for column in (self.newest, self.born, self.noted, self.cell)
        )
        self.counts = np.concatenate([self.counts, np.zeros((len(fresh), self.counts.shape[1]), np.int64)])
        for tables in (self.trails, self.watched):
            for metric, table in tables.items():
                tables[metric] = np.concatenate([table, np.full((len(fresh), table.shape[1]), np.nan)])


class SetWire(msgspec.Struct, array_like=True):
    """A metric set as it is stored."""

    metrics: list[str]
    owner: bytes
    times: bytes
    counts: bytes
    trails: dict[str, bytes]
    watched: dict[str, bytes]


def to_wire(held: MetricSet) -> SetWire:
    """As it is stored: counts take four bytes, everything else eight."""
    times = np.stack([held.newest, held.born, held.noted, held.cell])
    return SetWire(
        list(held.metrics), held.owner.astype("<i4").tobytes(), times.tobytes(), held.counts.astype("<u4").tobytes(),
        {metric: table.tobytes() for metric, table in held.trails.items()},
        {metric: table.tobytes() for metric, table in held.watched.items()},
    )  # fmt: skip


def from_wire(wire: SetWire, devices: int) -> MetricSet:
    """From how it is stored, in a shard of so many devices. ValueError: it does not fit together."""
    owner = np.frombuffer(wire.owner, "<i4").astype(np.int64)
    k, width = len(owner), 2 + 4 * len(wire.metrics)
    newest, born, noted, cell = np.frombuffer(wire.times, "<i8").astype(np.int64).reshape(4, k)
    counts = np.frombuffer(wire.counts, "<u4").astype(np.int64).reshape(k, width)
    if k and not 0 <= owner.min() <= owner.max() < devices:
        message = f"a set of metrics names a device beyond the {devices} there are"
        raise ValueError(message)
    trails = {m: np.frombuffer(table, "<f8").reshape(k, TRAIL).copy() for m, table in wire.trails.items()}
    watched = {m: np.frombuffer(table, "<f8").reshape(k, WATCHED).copy() for m, table in wire.watched.items()}
    where = np.full(devices, -1)
    where[owner] = np.arange(k)
    return MetricSet(tuple(wire.metrics), owner, newest, born, noted, cell, counts, trails, watched, where)
