"""What was measured, as curves to draw: from recorded files, or from the series that is stored."""

from __future__ import annotations

import dataclasses
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from watchkeeper.ids import shard_of
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.series.query import query
from watchkeeper.series.reader import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watchkeeper.intake.sent import SentReading
    from watchkeeper.packs import Floats, Ints
    from watchkeeper.ports import Blobs
    from watchkeeper.records import Device

POINTS = 3_000  # of a curve; of more, their means, with the least and the greatest


class Curve(NamedTuple):
    """Values over time: `ts` in epoch ms; where points stand for several readings, `low` and `high` are around them."""

    ts: Ints
    value: Floats
    low: Floats
    high: Floats


class Source(Protocol):
    """Where curves come from."""

    def metrics(self, device: str) -> list[str]:
        """What a device has measured, by name."""
        ...

    def curve(self, device: str, metric: str) -> Curve:
        """One metric of a device."""
        ...


@dataclasses.dataclass(slots=True)
class Measured:
    """Curves of readings that have gone by."""

    _held: defaultdict[str, dict[str, tuple[array[int], array[float]]]] = dataclasses.field(
        default_factory=lambda: defaultdict(dict)
    )

    def seeing(self, readings: Iterable[tuple[Device, int, SentReading]]) -> Iterator[tuple[Device, int, SentReading]]:
        """The same readings, of which the values are kept."""
        for each in readings:
            who, ts, sent = each
            for name, value in sent.values.items():
                if value is not None:
                    times, values = self._held[who.device].setdefault(name, (array("q"), array("d")))
                    times.append(ts)
                    values.append(value)
            yield each

    def metrics(self, device: str) -> list[str]:
        """See `Source`."""
        return sorted(self._held[device])

    def curve(self, device: str, metric: str) -> Curve:
        """See `Source`."""
        times, values = self._held[device].get(metric, (array("q"), array("d")))
        ts, column = np.array(times, np.int64), np.array(values, np.float64)
        order = np.argsort(ts, kind="stable")
        ts, column = ts[order], column[order]
        if len(ts) <= POINTS:
            return Curve(ts, column, column, column)
        starts = np.linspace(0, len(ts), POINTS, endpoint=False).astype(np.int64)
        counts = np.diff(starts, append=len(ts))
        mean = np.add.reduceat(column, starts) / counts
        return Curve(ts[starts], mean, np.minimum.reduceat(column, starts), np.maximum.reduceat(column, starts))


@dataclasses.dataclass(frozen=True, slots=True)
class Lake:
    """Curves of what is stored in [start, end), epoch ms."""

    blobs: Blobs
    shards: int
    start: int
    end: int

    def metrics(self, device: str) -> list[str]:
        """See `Source`."""
        shard, key = shard_of(DEFAULT_TENANT, device, self.shards), (DEFAULT_TENANT, device)
        known = reading(self.blobs, shard, lambda reader: reader.state.device(key))
        return sorted(known.metrics) if known else []

    def curve(self, device: str, metric: str) -> Curve:
        """See `Source`."""
        shard = shard_of(DEFAULT_TENANT, device, self.shards)
        found = query(self.blobs, shard, DEFAULT_TENANT, device, metric, self.start, self.end, POINTS)
        columns = np.array(found.points, np.float64).reshape(len(found.points), -1).T
        if not len(found.points):
            columns = np.empty((2, 0))
        ts, value = columns[0].astype(np.int64), columns[1]
        return Curve(ts, value, columns[2], columns[3]) if found.bucket_ms else Curve(ts, value, value, value)
