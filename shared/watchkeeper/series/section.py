"""A section: readings of devices that have the same metrics, as columns, and as the bytes of those columns."""

from __future__ import annotations

import dataclasses
import enum
import struct
import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.packs import Floats, Ints
from watchkeeper.series.columns import pack_floats, pack_ints, unpack_floats, unpack_ints

if TYPE_CHECKING:
    from collections.abc import Callable

DeviceKey = tuple[str, str]
"""Tenant and device."""

Column = TypeVar("Column", Ints, Floats)
_TS, _LAG, _FLAGS, _TAGS, _RULES, _SCORE, _VALUES = range(7)


class Effort(enum.IntEnum):
    """How much work the columns are worth: the longer they will stay, the more."""

    RAW = 0
    NARROW = 1
    DEFLATE = 2


@dataclasses.dataclass(slots=True)
class Section:
    """Rows of devices that have the same metrics: n rows, m metrics, `counts[i]` rows of `devices[i]`, in this order.

    `ts` and `received` are epoch ms; `values` is (m, n), NaN where absent; `score` is NaN where there is none; `tags`
    and `rules` are indices into lists kept beside the sections (−1: none).
    """

    metrics: tuple[str, ...]
    devices: list[DeviceKey]
    counts: Ints
    ts: Ints
    received: Ints
    flags: Ints
    tags: Ints
    rules: Ints
    score: Floats
    values: Floats

    def part(self, first_device: int, last_device: int, low: int, high: int) -> Section:
        """Some of the devices, and of their rows those from `low` up to `high`."""
        rows = slice(low, high)
        return Section(
            self.metrics,
            self.devices[first_device:last_device],
            self.counts[first_device:last_device],
            self.ts[rows],
            self.received[rows],
            self.flags[rows],
            self.tags[rows],
            self.rules[rows],
            self.score[rows],
            self.values[:, rows],
        )


class SectionWire(msgspec.Struct, array_like=True):
    """What a segment's header says of a section; `sizes` are bytes a column, 0 where all of it is the usual value.

    `checks` are CRC-32: of each column, or where the section is `raw`, one of all.
    """

    metrics: tuple[str, ...]
    devices: list[DeviceKey]
    counts: list[int]
    sizes: list[int]
    checks: list[int]
    raw: bool

    def adds_up(self) -> bool:
        """Do its lists fit each other?"""
        columns = _VALUES + len(self.metrics)
        whole = len(self.counts) == len(self.devices) and len(self.sizes) == columns and self.sizes[_TS] > 0
        sizes = {0, 8 * sum(self.counts)} if self.raw else set(self.sizes)
        checks = 1 if self.raw else columns
        return whole and len(self.checks) == checks and sizes.issuperset(self.sizes) and min(self.counts) > 0


def pack_section(section: Section, tags: Ints, rules: Ints, effort: Effort) -> tuple[SectionWire, bytes]:
    """The bytes of a section's columns (these `tags` and `rules` for its own), and what the header says of them."""
    lag = section.received - section.ts
    ints = [section.ts, lag, _or_none(section.flags, 0), _or_none(tags, -1), _or_none(rules, -1)]
    score = None if np.isnan(section.score[0]) and np.isnan(section.score).all() else section.score
    floats = [score, *section.values]
    counts = section.counts.tolist()
    if effort == Effort.RAW:
        words = [*ints, *(None if column is None else column.view(np.int64) for column in floats)]
        body = np.concatenate([column for column in words if column is not None]).astype("<i8", copy=False).tobytes()
        sizes = [0 if column is None else 8 * len(section.ts) for column in words]
        return SectionWire(section.metrics, section.devices, counts, sizes, [zlib.crc32(body)], raw=True), body
    deflate = effort == Effort.DEFLATE
    blocks = [b"" if column is None else pack_ints(column, deflate=deflate) for column in ints]
    blocks += [b"" if column is None else pack_floats(column, deflate=deflate) for column in floats]
    sizes, checks = [len(block) for block in blocks], [zlib.crc32(block) for block in blocks]
    return SectionWire(section.metrics, section.devices, counts, sizes, checks, raw=False), b"".join(blocks)


class Part:
    """The rows of some neighbouring devices of a stored section; only columns that are asked for are unpacked."""

    def __init__(self, wire: SectionWire, body: memoryview, where: str, first: int, last: int) -> None:
        """The devices `first` up to `last`, not included. StateError: damaged."""
        self._wire, self._body, self._where = wire, body, where
        self._devices = slice(first, last)
        low = sum(wire.counts[:first])
        self._rows = slice(low, low + sum(wire.counts[first:last]))
        if wire.raw:
            self._check(body, wire.checks[0])
        self.metrics = wire.metrics
        self.ts = self._ints(_TS, 0)

    def flags(self) -> Ints:
        """See `records.Flag`."""
        return self._ints(_FLAGS, 0)

    def value(self, metric: str) -> Floats:
        """The values of one of the `metrics`, NaN where absent. StateError: damaged."""
        return self._floats(_VALUES + self.metrics.index(metric))

    def section(self) -> Section:
        """All columns. StateError: damaged."""
        return Section(
            self.metrics,
            self._wire.devices[self._devices],
            np.array(self._wire.counts[self._devices], np.int64),
            self.ts,
            self.ts + self._ints(_LAG, 0),
            self.flags(),
            self._ints(_TAGS, -1),
            self._ints(_RULES, -1),
            self._floats(_SCORE),
            self._values(),
        )

    def _values(self) -> Floats:
        if self._wire.raw and all(self._wire.sizes[_VALUES:]):
            whole = self._body[sum(self._wire.sizes[:_VALUES]) :]
            matrix = np.frombuffer(whole, "<f8").reshape(len(self.metrics), -1)[:, self._rows]
            return matrix.astype(np.float64, copy=False)
        columns = [self._floats(_VALUES + place) for place in range(len(self.metrics))]
        return np.array(columns, np.float64).reshape(len(columns), len(self.ts))

    def _ints(self, column: int, usual: int) -> Ints:
        block = self._block(column)
        if block is None:
            return np.full(self._rows.stop - self._rows.start, usual, np.int64)
        if self._wire.raw:
            return np.frombuffer(block, "<i8")[self._rows].astype(np.int64, copy=False)
        return self._unpacked(block, unpack_ints)

    def _floats(self, column: int) -> Floats:
        block = self._block(column)
        if block is None:
            return np.full(self._rows.stop - self._rows.start, np.nan)
        if self._wire.raw:
            return np.frombuffer(block, "<f8")[self._rows].astype(np.float64, copy=False)
        return self._unpacked(block, unpack_floats)

    def _block(self, column: int) -> memoryview | None:
        size = self._wire.sizes[column]
        if not size:
            return None
        start = sum(self._wire.sizes[:column])
        block = self._body[start : start + size]
        if not self._wire.raw:
            self._check(block, self._wire.checks[column])
        return block

    def _unpacked(self, block: memoryview, unpack: Callable[[memoryview, int], Column]) -> Column:
        try:
            return unpack(block, sum(self._wire.counts))[self._rows]
        except (ValueError, IndexError, OverflowError, struct.error, zlib.error) as error:
            raise damaged(self._where, str(error)) from error

    def _check(self, data: memoryview, check: int) -> None:
        if zlib.crc32(data) != check:
            raise damaged(self._where, "checksum")


def _or_none(column: Ints, usual: int) -> Ints | None:
    """The column, or None where it holds nothing but its usual value."""
    return None if column[0] == usual and (column == usual).all() else column


def damaged(where: str, what: str) -> StateError:
    """The error for bytes that are no segment."""
    return StateError(f"{where}: not a segment this release can read: {what}")
