"""A pack: readings of one shard in company, as columns. What travels on the topics from ingest to store.

Wire format (JSON, at most MAX_PACK_BYTES): the devices, the origins and the sets of tags once; then one table for
each set of metrics that travel together, whose columns are arrays. Absent values are null. In memory the columns
are NumPy arrays; no reading is ever a Python object of its own on this way.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import DecodeError
from watchkeeper.ids import device_hash, reading_ids
from watchkeeper.records import SCHEMA_VERSION, Device, Origin, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_PACK_BYTES = 256 * 1024
ROOM = MAX_PACK_BYTES - 16 * 1024  # for readings; the rest is for the ids of the rules that fire

# The most that things take on the wire, once later stages have added their verdicts.
READING_BYTES = 84  # indices 6 each (device, origin, tags, rule), times 14 each, flags 4, salt 21, score 7
VALUE_BYTES = 25  # -1.7976931348623157e+308 and a comma
TABLE_BYTES = 160  # the names of its columns
ORIGIN_BYTES = 80
SCORE_DIGITS = 4

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NO_INTS: Ints = np.empty(0, np.int64)


class WireTable(msgspec.Struct, omit_defaults=True):
    """A table as it travels; columns that would hold nothing are left out, and so is `origin` if there is only one."""

    metrics: list[str]
    device: list[int]
    ts: list[int]
    received: list[int]
    values: list[list[float | None]]
    flags: list[int] = []
    origin: list[int] = []
    salt: list[int] = []
    tags: list[int] = []
    score: list[float] = []
    rules: list[tuple[list[str], list[int]]] = []  # rules that fire together, and the rows where they do


class WirePack(msgspec.Struct, omit_defaults=True, tag="pack"):
    """A pack as it travels."""

    shard: int
    devices: list[Device]
    tables: list[WireTable]
    origins: list[Origin] = []
    tagsets: list[dict[str, str]] = []
    v: int = SCHEMA_VERSION


@dataclasses.dataclass(slots=True)
class Table:
    """Readings that carry the same metrics: n readings, m metrics.

    `device`, `origin` and `tags` are indices into the pack's lists (−1: none); `ts` and `received` are epoch ms;
    `values` is (m, n), NaN where a value is absent; `salt` is 0 where the reading's time is its own. `score` is
    empty until the model has scored; `rules` holds, for the rows where a rule is firing, the rules' ids.
    """

    metrics: tuple[str, ...]
    device: Ints
    ts: Ints
    received: Ints
    values: Floats
    flags: Ints
    salt: Ints
    origin: Ints
    tags: Ints
    score: Floats
    rules: dict[int, list[str]]

    @classmethod
    def build(  # noqa: PLR0913 - one parameter per column
        cls,
        metrics: tuple[str, ...],
        device: Sequence[int] | Ints,
        ts: Sequence[int] | Ints,
        received: Sequence[int] | Ints,
        values: Sequence[Sequence[float | None]] | Floats,
        *,
        flags: Sequence[int] | Ints = (),
        salt: Sequence[int] | Ints = (),
        origin: Sequence[int] | Ints = (),
        tags: Sequence[int] | Ints = (),
        score: Sequence[float] | Floats = (),
        rules: dict[int, list[str]] | None = None,
    ) -> Table:
        """A table from columns; left-out columns get their empty value. ValueError: lengths differ."""
        n = len(ts)

        def column(given: Sequence[int] | Ints, fill: int) -> Ints:
            return np.asarray(given, np.int64) if len(given) else np.full(n, fill, np.int64)

        table = cls(
            metrics,
            np.asarray(device, np.int64),
            np.asarray(ts, np.int64),
            np.asarray(received, np.int64),
            np.asarray(values, np.float64).reshape(len(metrics), n),
            column(flags, 0),
            column(salt, 0),
            column(origin, -1),
            column(tags, -1),
            np.asarray(score, np.float64),
            dict(rules or {}),
        )
        lengths = {len(c) for c in (table.device, table.received, table.flags, table.salt, table.origin, table.tags)}
        if lengths != {n} or len(table.score) not in {0, n}:
            message = f"columns of different lengths: {n} times, {sorted(lengths)} in others"
            raise ValueError(message)
        return table

    def __len__(self) -> int:
        """How many readings."""
        return len(self.ts)

    def select(self, keep: Bools) -> Table:
        """The readings where `keep`, in the same order."""
        return self if keep.all() else self.reordered(np.flatnonzero(keep))

    def reordered(self, rows: NDArray[np.intp]) -> Table:
        """The readings of these rows, in this order."""
        place = {int(row): new for new, row in enumerate(rows)} if self.rules else {}
        return Table(
            self.metrics,
            self.device[rows],
            self.ts[rows],
            self.received[rows],
            self.values[:, rows],
            self.flags[rows],
            self.salt[rows],
            self.origin[rows],
            self.tags[rows],
            self.score[rows] if len(self.score) else self.score,
            {place[row]: ids for row, ids in self.rules.items() if row in place},
        )


@dataclasses.dataclass(slots=True)
class Pack:
    """Readings of one shard, in the order they came.

    Each reading has an origin, the message it was made from: an index into `origins` (−1: none, it came in a request).
    """

    shard: int
    devices: list[Device]
    tables: list[Table]
    origins: list[Origin] = dataclasses.field(default_factory=list)
    tagsets: list[dict[str, str]] = dataclasses.field(default_factory=list)
    _hashes: NDArray[np.uint64] | None = dataclasses.field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        """How many readings."""
        return sum(map(len, self.tables))

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """64 bits for each of its devices, the same wherever the device is met."""
        if self._hashes is None:
            self._hashes = np.array([device_hash(who.tenant, who.device) for who in self.devices], np.uint64)
        return self._hashes

    def most_bytes(self) -> int:
        """The most it takes on the wire with the verdicts that later stages add; of packs taken together: the sum."""
        names = len(_encoder.encode((self.devices, self.tagsets, [table.metrics for table in self.tables])))
        readings = sum(len(table) * (READING_BYTES + VALUE_BYTES * len(table.metrics)) for table in self.tables)
        return readings + names + TABLE_BYTES * len(self.tables) + ORIGIN_BYTES * len(self.origins)

    def ids(self, table: Table) -> NDArray[np.uint64]:
        """The ids of a table's readings; where the time is not their own, it is no part of the id."""
        own_time = np.where(table.salt == 0, table.ts, 0)
        return reading_ids(self.hashes[table.device], own_time, table.salt.view(np.uint64))

    def with_tables(self, tables: list[Table]) -> Pack:
        """The same devices, origins and tags with other readings; empty tables are left out."""
        return dataclasses.replace(self, tables=[table for table in tables if len(table)])

    def without(self, taken: Mapping[str, tuple[int, int]]) -> Pack:
        """What is left when readings at or below the origins taken so far, by source, are skipped."""
        fresh = [origin.place > taken.get(origin.source, (-1, 0)) for origin in self.origins]
        if all(fresh):
            return self
        keep = np.array([*fresh, True])  # the last one stands for −1, no origin
        return self.with_tables([table.select(keep[table.origin]) for table in self.tables])

    def from_origin(self, origin: Origin) -> Pack:
        """The same readings, all made from this one message."""
        tables = [dataclasses.replace(table, origin=np.zeros(len(table), np.int64)) for table in self.tables]
        return dataclasses.replace(self, tables=tables, origins=[origin])

    def origin_at(self, table: Table, row: int) -> Origin | None:
        """The origin of a reading."""
        at = int(table.origin[row])
        return self.origins[at] if at >= 0 else None

    def reading(self, table: Table, row: int) -> Reading:
        """One reading, for people and dead letters."""
        who = self.devices[table.device[row]]
        values = {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(table.metrics, table.values[:, row], strict=True)
        }
        tags = self.tagsets[table.tags[row]] if table.tags[row] >= 0 else {}
        times = int(table.ts[row]), int(table.received[row])
        tenant = sys.intern(who.tenant)  # msgspec leaves a default out if it is that very object
        return Reading(who.device, times[0], values, tenant, who.site, tags, times[1], int(table.flags[row]))

    def readings(self) -> Iterator[Reading]:
        """All readings, table by table."""
        for table in self.tables:
            for row in range(len(table)):
                yield self.reading(table, row)

    def encode(self) -> bytes:
        """The pack as JSON."""
        tables = [_to_wire(table, one_origin=len(self.origins) == 1) for table in self.tables]
        return _encoder.encode(WirePack(self.shard, self.devices, tables, self.origins, self.tagsets))

    @staticmethod
    def decode(data: bytes) -> Pack:
        """A pack from JSON. DecodeError: it is not one."""
        try:
            wire = _decoder.decode(data)
            tables = [_from_wire(table, one_origin=len(wire.origins) == 1) for table in wire.tables]
            pack = Pack(wire.shard, wire.devices, tables, wire.origins, wire.tagsets)
            _check_indices(pack)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
            message = f"not a pack: {error}"
            raise DecodeError(message) from error
        if wire.v != SCHEMA_VERSION:
            message = f"a pack of schema version {wire.v}; this release reads {SCHEMA_VERSION}"
            raise DecodeError(message)
        return pack


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(WirePack)


def _to_wire(table: Table, *, one_origin: bool) -> WireTable:
    implied = 0 if one_origin else -1
    return WireTable(
        list(table.metrics),
        table.device.tolist(),
        table.ts.tolist(),
        table.received.tolist(),
        table.values.tolist(),
        table.flags.tolist() if table.flags.any() else [],
        table.origin.tolist() if (table.origin != implied).any() else [],
        table.salt.tolist() if table.salt.any() else [],
        table.tags.tolist() if (table.tags >= 0).any() else [],
        table.score.round(SCORE_DIGITS).tolist(),
        _rules_to_wire(table.rules),
    )


def _rules_to_wire(rules: Mapping[int, list[str]]) -> list[tuple[list[str], list[int]]]:
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, ids in sorted(rules.items()):
        rows.setdefault(tuple(ids), []).append(row)
    return [(list(ids), where) for ids, where in rows.items()]


def _from_wire(wire: WireTable, *, one_origin: bool) -> Table:
    origin = wire.origin or ([0] * len(wire.ts) if one_origin else [])
    return Table.build(
        tuple(wire.metrics),
        wire.device,
        wire.ts,
        wire.received,
        np.array(wire.values, np.float64),
        flags=wire.flags,
        salt=wire.salt,
        origin=origin,
        tags=wire.tags,
        score=wire.score,
        rules={row: list(ids) for ids, rows in wire.rules for row in rows},
    )


def _check_indices(pack: Pack) -> None:
    limits = {"device": len(pack.devices), "origin": len(pack.origins), "tags": len(pack.tagsets)}
    for table in pack.tables:
        for name, limit in limits.items():
            column: Ints = getattr(table, name)
            lowest = 0 if name == "device" else -1
            if len(column) and not (lowest <= column.min() and column.max() < limit):
                message = f"column {name} points outside its list of {limit}"
                raise ValueError(message)
        if any(not 0 <= row < len(table) for row in table.rules):
            message = f"rules name a row outside the table's {len(table)}"
            raise ValueError(message)
