"""What a device sends over time: by how much its clock is off, and which metrics it has.

Both are about what arrives, so they go by the time of receipt, in stretches of five minutes; within a device that time
does not go back, however its metrics are divided. What a stretch has shown is looked at when the device is first heard
in a later one, so the result does not depend on how the stream is cut.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.cleaning.order import order_of
from watchkeeper.cleaning.state import MINIMA, NOTHING, CleanState, Schema
from watchkeeper.records import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.cleaning.metric_set import MetricSet
    from watchkeeper.packs import Bools, Ints, Table

STRETCH_MS = 5 * 60_000
BACKFILL_MS = 10 * 60_000  # a reading received so long after it happened was collected before
STEADY_MS = 2_000  # the least delays of several stretches that differ by no more are those of a clock that is off
NOTICED_MS, MOVED_MS = 5_000, 1_000  # a clock that is off by less is right; a correction is changed by no less
LEARNING = 12  # stretches in which a device's metrics are learnt
ABSENT, ABSENT_RESTS = 12, 4  # gone: not sent for so many stretches, and for so many times its longest rest so far
_NO_TIME = int(Flag.NO_TIME)
MOST_METRICS = 512  # of one device; what is beyond is not followed


class Change(NamedTuple):
    """The metrics of a device are others, as of a stretch of wall time that began at `since`, epoch ms."""

    device: int
    table: int
    row: int
    since: int
    version: int
    metrics: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]


@dataclasses.dataclass(slots=True)
class Watched:
    """What was found: changes, and for each table by how many ms its readings' clocks are off (n)."""

    changes: list[Change]
    skews: list[Ints]


class _Part(NamedTuple):
    """A device in one stretch, as one table shows it; `row` is its first reading there."""

    stretch: int
    received: int
    ts: int
    device: int
    table: int
    row: int
    least: int


def watch(
    state: CleanState, tables: Sequence[Table], devices: Sequence[Ints], sets: Sequence[tuple[MetricSet, Ints]]
) -> Watched:
    """Follow the devices of a pack; `devices` and `sets` say for each table whose its readings are. Changes `state`."""
    who = state.devices
    stretches = [table.received // STRETCH_MS for table in tables]
    known = [
        bool((stretch <= who.heard[device]).all() and (held.noted[rows] == who.heard[device]).all())
        for stretch, device, (held, rows) in zip(stretches, devices, sets, strict=True)
    ]
    if all(known):
        for table, device in zip(tables, devices, strict=True):
            timely = _timely(table)
            np.minimum.at(who.least, device[timely], (table.received - table.ts)[timely])
        return Watched([], [who.skew[device] for device in devices])
    return _Watching(state, tables, devices, sets).run(stretches)


def _timely(table: Table) -> Bools:
    """Readings with a time of their own that were not collected long before."""
    timely: Bools = ((table.flags & _NO_TIME) == 0) & (table.received - table.ts <= BACKFILL_MS)
    return timely


@dataclasses.dataclass(slots=True)
class _Watching:
    """A pack in which a device is heard in a new stretch, or with other metrics."""

    state: CleanState
    tables: Sequence[Table]
    devices: Sequence[Ints]
    sets: Sequence[tuple[MetricSet, Ints]]
    changes: list[Change] = dataclasses.field(default_factory=list)

    def run(self, stretches: Sequence[Ints]) -> Watched:
        who = self.state.devices
        skews = [who.skew[device] for device in self.devices]
        reached = []
        for stretch, device in zip(stretches, self.devices, strict=True):
            before = order_of(device, stretch, who.heard).before
            reached.append(np.maximum(stretch, before))
        parts = [part for number, stretch in enumerate(reached) for part in self._parts(number, stretch)]
        for part in sorted(parts):
            if self._take(part):
                skew = who.skew[part.device]
                for number, device in enumerate(self.devices):
                    later = (device == part.device) & (reached[number] >= part.stretch)
                    skews[number] = np.where(later, skew, skews[number])
        return Watched(self.changes, skews)

    def _parts(self, number: int, stretch: Ints) -> list[_Part]:
        table, device = self.tables[number], self.devices[number]
        pairs, first, group = np.unique(np.stack([device, stretch]), axis=1, return_index=True, return_inverse=True)
        least = np.full(pairs.shape[1], NOTHING)
        timely = _timely(table)
        np.minimum.at(least, group.reshape(-1)[timely], (table.received - table.ts)[timely])
        columns = (pairs[1], table.received[first], table.ts[first], pairs[0], first, least)
        return [
            _Part(when, received, ts, whose, number, row, delay)
            for when, received, ts, whose, row, delay in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _take(self, part: _Part) -> bool:
        """One device in one stretch; answers whether its skew has changed."""
        who, moved = self.state.devices, False
        device = part.device
        if part.stretch > who.heard[device]:
            if who.heard[device]:
                moved = self._end_clock(device)
                self._end_schema(part)
            who.heard[device] = part.stretch
        who.least[device] = min(int(who.least[device]), part.least)
        held, rows = self.sets[part.table]
        row = rows[part.row]
        if held.noted[row] != who.heard[device]:
            held.noted[row] = who.heard[device]
            schema = who.schemas.setdefault(device, Schema())
            schema.pending += [m for m in held.metrics if m not in schema.pending][: MOST_METRICS - len(schema.pending)]
        return moved

    def _end_clock(self, device: int) -> bool:
        """A stretch is over: do the least delays of the last ones agree on how far the clock is off?"""
        who = self.state.devices
        least = int(who.least[device])
        who.least[device] = NOTHING
        if least == NOTHING:
            return False
        who.minima[device] = [*who.minima[device, 1:].tolist(), least]
        minima = who.minima[device].tolist()
        if NOTHING in minima or max(minima) - min(minima) > STEADY_MS:
            return False
        found = sorted(minima)[MINIMA // 2]
        found = found if abs(found) >= NOTICED_MS else 0
        if found == who.skew[device] or (found and abs(found - int(who.skew[device])) < MOVED_MS):
            return False
        who.skew[device] = found
        return True

    def _end_schema(self, part: _Part) -> None:
        """A stretch is over: are its metrics those that the device is known to send?"""
        schema = self.state.devices.schemas.setdefault(part.device, Schema())
        schema.beat += 1
        new = [m for m in schema.pending if m in schema.absent or m not in schema.metrics]
        for metric in schema.pending:
            if metric in schema.metrics or len(schema.metrics) < MOST_METRICS:
                last, rest = schema.metrics.get(metric, (schema.beat, 0))
                schema.metrics[metric] = (schema.beat, max(rest, schema.beat - last))
        new = [metric for metric in new if metric in schema.metrics]
        schema.pending = []
        schema.absent = [metric for metric in schema.absent if metric not in new]
        if schema.beat < LEARNING:
            return
        present = [metric for metric in schema.metrics if metric not in schema.absent]
        gone = [metric for metric in present if _is_gone(schema.beat, *schema.metrics[metric])]
        if schema.version and not new and not gone:
            return
        learnt = schema.version == 0
        schema.absent += gone
        schema.version += 1
        metrics = tuple(sorted(metric for metric in present if metric not in gone))
        since = int(self.state.devices.heard[part.device]) * STRETCH_MS
        changed = ((), ()) if learnt else (tuple(sorted(new)), tuple(sorted(gone)))
        change = Change(part.device, part.table, part.row, since, schema.version, metrics, *changed)
        self.changes.append(change)


def _is_gone(beat: int, last: int, rest: int) -> bool:
    return beat - last > max(ABSENT, ABSENT_RESTS * rest)
