"""Questions to the final series.

A device has at most one value of a metric at one time: the one that arrived last, so corrections win, and a reading
that does not carry a metric takes nothing away. Readings without a time of their own (NO_TIME) stand beside each
other even at the same millisecond. Answers do not depend on how the readings were cut into segments.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from watchkeeper.packs import Bools, Floats, Ints
from watchkeeper.records import Flag
from watchkeeper.series.assembly import Assembly
from watchkeeper.series.reader import EARLIEST, LATEST, Reader, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.ports import Blobs
    from watchkeeper.series.manifest import KnownDevice
    from watchkeeper.series.section import DeviceKey

Point = tuple[int, float]
Bucket = tuple[int, float, float, float, int]


class SeriesResult(msgspec.Struct, frozen=True):
    """Points `[ts, value]`, or where `bucket_ms` is not 0: `[start of the bucket, mean, min, max, count]`."""

    device: str
    metric: str
    points: list[Point] | list[Bucket]
    bucket_ms: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """All readings of a device, corrections and what they corrected, by time and then arrival: n rows, m metrics.

    `ts` and `received` are epoch ms; `values` is (m, n), NaN where absent; `score` is NaN where there is none; `rules`
    and `tags` hold only rows that have some.
    """

    metrics: tuple[str, ...]
    ts: Ints
    received: Ints
    values: Floats
    flags: Ints
    score: Floats
    rules: dict[int, tuple[str, ...]]
    tags: dict[int, dict[str, str]]


class DeviceHistory(NamedTuple):
    """The final readings of a device: `ts` (n) in epoch ms, `values` (m, n) with NaN where absent, `flags` (n)."""

    tenant: str
    device: str
    metrics: tuple[str, ...]
    ts: Ints
    values: Floats
    flags: Ints


def query(
    blobs: Blobs, shard: int, tenant: str, device: str, metric: str, start: int | None, end: int | None, points: int
) -> SeriesResult:
    """One metric in [start, end), epoch ms; None: from the first, to the last value there is.

    Up to `points` (at least 1) values as they are; of more, their mean, least, greatest and count in up to as many
    equal stretches of time, beginning at `start`; empty ones are left out. Nothing stored: no points. StateError:
    something stored is damaged.
    """
    low, high = _bounds(start, end)
    ts, values = reading(blobs, shard, lambda reader: _metric(reader, (tenant, device), metric, low, high))
    if len(ts) <= points:
        return SeriesResult(device, metric, list(zip(ts.tolist(), values.tolist(), strict=True)))
    low = int(ts[0]) if start is None else low
    high = int(ts[-1]) + 1 if end is None else high
    width = -((low - high) // max(points, 1))
    return SeriesResult(device, metric, _downsampled(ts, values, low, width), width)


def latest(blobs: Blobs, shard: int, tenant: str, device: str) -> dict[str, Point]:
    """The last value of each metric and its time, epoch ms; at one time, the one that arrived last.

    StateError: something stored is damaged.
    """
    return reading(blobs, shard, lambda reader: _latest(reader, (tenant, device)))


def readings(
    blobs: Blobs, shard: int, tenant: str, device: str, start: int | None = None, end: int | None = None
) -> Rows:
    """All readings of a device in [start, end), epoch ms. StateError: something stored is damaged."""
    low, high = _bounds(start, end)
    return reading(blobs, shard, lambda reader: _rows(reader, (tenant, device), low, high))


def history(blobs: Blobs, shard: int, start: int | None = None, end: int | None = None) -> Iterator[DeviceHistory]:
    """The final readings in [start, end), device by device; one device's are in memory at a time.

    StateError: something stored is damaged.
    """
    for known in known_devices(blobs, shard):
        found = device_history(blobs, shard, known.tenant, known.device, start, end)
        if found is not None:
            yield found


def known_devices(blobs: Blobs, shard: int) -> list[KnownDevice]:
    """The devices of a shard that have stored readings. StateError: its manifest is damaged."""
    return reading(blobs, shard, lambda reader: list(reader.state.devices()))


def device_history(
    blobs: Blobs, shard: int, tenant: str, device: str, start: int | None = None, end: int | None = None
) -> DeviceHistory | None:
    """The final readings of a device in [start, end). None: there are none. StateError: something stored is damaged."""
    rows = readings(blobs, shard, tenant, device, start, end)
    if not len(rows.ts):
        return None
    order, group = _places(rows.ts, rows.flags)
    values = np.full((len(rows.metrics), group[-1] + 1), np.nan)
    for row, column in zip(values, rows.values[:, order], strict=True):
        present = ~np.isnan(column)
        row[group[present]] = column[present]  # of several at one place, the last stays
    last = np.flatnonzero(np.diff(group, append=-1))
    return DeviceHistory(tenant, device, rows.metrics, rows.ts[order][last], values, rows.flags[order][last])


def _bounds(start: int | None, end: int | None) -> tuple[int, int]:
    low = EARLIEST if start is None else max(start, EARLIEST)
    return low, LATEST if end is None else min(end, LATEST)


def _metric(reader: Reader, device: DeviceKey, metric: str, start: int, end: int) -> tuple[Ints, Floats]:
    """The final values of a metric, by time."""
    times, values, flags = [], [], []
    for segment in reader.in_order(device, start, end):
        part = segment.find(device)
        if part is None or metric not in part.metrics:
            continue
        ts, column = part.ts, part.value(metric)
        wanted = (ts >= start) & (ts < end) & ~np.isnan(column)
        every = bool(wanted.all())
        times.append(ts if every else ts[wanted])
        values.append(column if every else column[wanted])
        flags.append(part.flags() if every else part.flags()[wanted])
    if not times:
        return np.empty(0, np.int64), np.empty(0)
    ts, column = np.concatenate(times), np.concatenate(values)
    if (ts[1:] > ts[:-1]).all():
        return ts, column
    order, group = _places(ts, np.concatenate(flags))
    final = order[np.flatnonzero(np.diff(group, append=-1))]
    return ts[final], column[final]


def _places(ts: Ints, flags: Ints) -> tuple[Ints, Ints]:
    """The order by time and then arrival, and in that order the number of the place each reading is for."""
    own_place: Bools = (flags & Flag.NO_TIME) != 0
    order = np.lexsort((own_place, ts))
    new: Bools = own_place[order]
    new[1:] |= np.diff(ts[order]) != 0
    new[:1] = False
    return order, np.cumsum(new)


def _downsampled(ts: Ints, values: Floats, start: int, width: int) -> list[Bucket]:
    edges = np.arange(start, int(ts[-1]) + 1, width)
    first = np.searchsorted(ts, edges)
    held = np.diff(first, append=len(ts)) > 0
    edges, first = edges[held], first[held]
    count = np.diff(first, append=len(ts))
    mean = np.add.reduceat(values, first) / count
    least, greatest = np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
    columns = (edges, mean, least, greatest, count)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _latest(reader: Reader, device: DeviceKey) -> dict[str, Point]:
    known = reader.state.device(device)
    if known is None:
        return {}
    found: dict[str, tuple[int, int, float]] = {}
    arrival = list(enumerate(reader.refs(device, EARLIEST, LATEST)))
    for order, ref in sorted(arrival, key=lambda each: each[1].last, reverse=True):
        if len(found) == len(known.metrics) and ref.last < min(ts for ts, _, _ in found.values()):
            break
        part = reader.load([ref])[0].find(device)
        for metric in part.metrics if part else ():
            column = part.value(metric)  # type: ignore[union-attr]
            present = np.flatnonzero(~np.isnan(column))
            if len(present):
                times = part.ts[present]  # type: ignore[union-attr]
                last = len(times) - 1 - int(np.argmax(times[::-1]))
                candidate = (int(times[last]), order, float(column[present[last]]))
                found[metric] = max(candidate, found.get(metric, candidate))
    return {metric: (ts, value) for metric, (ts, _, value) in found.items()}


def _rows(reader: Reader, device: DeviceKey, start: int, end: int) -> Rows:
    assembly = Assembly()
    for segment in reader.in_order(device, start, end):
        assembly.add_segment(segment, device)
    for _, rows in assembly.sections(by_time=True):
        low, high = np.searchsorted(rows.ts, [start, end]).tolist()
        part = rows.part(0, 1, low, high)
        tagsets, rulesets = assembly.tagsets, assembly.rulesets
        tags = {row: tagsets[part.tags[row]] for row in np.flatnonzero(part.tags >= 0).tolist()}
        rules = {row: rulesets[part.rules[row]] for row in np.flatnonzero(part.rules >= 0).tolist()}
        return Rows(part.metrics, part.ts, part.received, part.values, part.flags, part.score, rules, tags)
    none = np.empty(0, np.int64)
    return Rows((), none, none, np.empty((0, 0)), none, np.empty(0), {}, {})
