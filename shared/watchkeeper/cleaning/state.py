"""What clean remembers of a shard: its devices, what they send together, and a ring of ids seen lately."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.cleaning.facts import Facts
from watchkeeper.cleaning.metric_set import MetricSet, SetWire, from_wire, to_wire
from watchkeeper.codec import Format
from watchkeeper.errors import StateError
from watchkeeper.ids import text_id
from watchkeeper.packs import Bools, Ints

VERSION = 2
RING = 4096  # readings a shard remembers: a client that tries again within these is noticed
MOST_SETS = 64  # sets of metrics that a device may send; what it sends in others is remembered as of none
MINIMA = 3
NOTHING = np.iinfo(np.int64).max


class Schema(msgspec.Struct, array_like=True):
    """The metrics of a device: in how many stretches it was heard, and for each metric its last one and longest rest.

    `pending` are those of the present stretch, `absent` those that it sends no more; `version` counts what was
    announced, 0 while it is being learnt.
    """

    version: int = 0
    beat: int = 0
    metrics: dict[str, tuple[int, int]] = {}
    pending: list[str] = []
    absent: list[str] = []


@dataclasses.dataclass(slots=True)
class Devices:
    """What is remembered of the devices of a shard, as columns; `places` has the row of each by tenant and name.

    `heard`: the stretch of wall time it was last heard in. `least`: by how many ms at least readings came after their
    time in this stretch; `minima` (n, MINIMA): the same of those before; NOTHING: unknown. `skew`: by how much its
    clock is known to be wrong, ms to be added. `sets`: how many sets of metrics it sends.
    """

    places: dict[str, int]
    heard: Ints
    least: Ints
    minima: Ints
    skew: Ints
    sets: Ints
    schemas: dict[int, Schema]

    def find(self, names: list[str]) -> Ints:
        """Their rows; a device never seen gets one."""
        places, known = self.places, len(self.heard)
        rows = np.array([places.setdefault(name, len(places)) for name in names], np.int64)
        if len(places) > known:
            more = max(len(places) - known, known // 2, 8)
            zeros = np.zeros(more, np.int64)
            self.heard, self.skew, self.sets = (np.concatenate([x, zeros]) for x in (self.heard, self.skew, self.sets))
            self.least = np.concatenate([self.least, zeros + NOTHING])
            self.minima = np.concatenate([self.minima, np.full((more, MINIMA), NOTHING)])
        return rows


@dataclasses.dataclass(slots=True)
class CleanState:
    """State of one shard. `ids` and `contents` form a ring, `written` counts what was put into it.

    `sets` are by metrics, in name order: what a device sends in several sets is in no order between them once it is in
    a pack, so each is followed by itself. `old` has what version 1 knew, by its own names, until it is asked for: the
    newest time, and the last good values. `facts` are made anew in each process.
    """

    devices: Devices
    sets: dict[tuple[str, ...], MetricSet]
    ids: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    written: int = 0
    old: dict[str, tuple[int, dict[str, float]]] = dataclasses.field(default_factory=dict)
    facts: Facts | None = None

    def crowded(self, metrics: tuple[str, ...], devices: Ints) -> Bools:
        """Which of these devices send so many sets of metrics that this one is not remembered by itself."""
        full = self.devices.sets[devices] >= MOST_SETS
        held = self.sets.get(metrics)
        if held is None or not full.any():
            return full
        known = np.zeros(len(devices), bool)
        inside = devices < len(held.where)
        known[inside] = held.where[devices[inside]] >= 0
        return full & ~known

    def rows(self, metrics: tuple[str, ...], devices: Ints) -> tuple[MetricSet, Ints]:
        """The set of these metrics (in name order) and the devices' rows in it; who is new gets one."""
        held = self.sets.get(metrics)
        if held is None:
            held = self.sets[metrics] = MetricSet.empty(metrics)
        found, fresh = held.rows(devices, len(self.devices.places))
        if len(fresh):
            self.devices.sets[held.owner[fresh]] += 1
            if self.old:
                self._remember_old(held, fresh)
        return held, found

    def remember(self, ids: NDArray[np.uint64], contents: NDArray[np.uint64]) -> None:
        """Put readings into the ring; the oldest fall out."""
        ids, contents = ids[-RING:], contents[-RING:]
        at = self.written % RING
        if at + len(ids) <= RING:
            self.ids[at : at + len(ids)], self.contents[at : at + len(ids)] = ids, contents
        else:
            places = (at + np.arange(len(ids))) % RING
            self.ids[places], self.contents[places] = ids, contents
        self.written += len(ids)

    def seen(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Ids and contents of the readings in the ring, in no particular order."""
        held = min(self.written, RING)
        return self.ids[:held], self.contents[:held]

    def _remember_old(self, held: MetricSet, fresh: Ints) -> None:
        names = list(self.devices.places)
        for row in fresh.tolist():
            tenant, _, device = names[held.owner[row]].partition("\0")
            newest, values = self.old.pop(text_id(tenant, device, *held.metrics), (0, {}))
            held.newest[row] = held.born[row] = newest
            for metric, value in values.items():
                held.trail(metric)[row, 4:] = newest, value


class _Wire(msgspec.Struct, array_like=True):
    v: int
    devices: list[str]
    columns: bytes
    schemas: dict[int, Schema]
    sets: list[SetWire]
    ids: bytes
    contents: bytes
    written: int
    old: dict[str, tuple[int, dict[str, float]]]


def _upgrade_1(content: list[Any]) -> list[Any]:
    """Version 1 knew devices only by hashes of their names and metrics: they are recognised as they come."""
    _, slots, newest_bytes, last_values, ids, contents, written = content
    newest = np.frombuffer(newest_bytes, "<i8").tolist()
    if len(newest) != len(slots):
        message = "its devices do not fit together"
        raise ValueError(message)
    old = {
        slot: (newest[place], {metric: held[place] for metric, held in last_values.items() if place in held})
        for place, slot in enumerate(slots)
    }
    return [VERSION, [], b"", {}, [], ids, contents, written, old]


FORMAT = Format(_Wire, VERSION, "a state of clean", {1: _upgrade_1})


class _Codec:
    version, version_of = FORMAT.version, FORMAT.version_of

    def empty(self) -> CleanState:
        none = np.zeros(0, np.int64)
        devices = Devices({}, none, none, np.zeros((0, MINIMA), np.int64), none, none, {})
        zeros = np.zeros(RING, np.uint64)
        return CleanState(devices, {}, zeros, zeros.copy())

    def encode(self, state: CleanState) -> bytes:
        who, n = state.devices, len(state.devices.places)
        columns = np.column_stack([who.heard[:n], who.least[:n], who.skew[:n], who.sets[:n], who.minima[:n]])
        ids, contents = (part.tobytes() for part in state.seen())
        sets = [to_wire(held) for held in state.sets.values()]
        wire = _Wire(
            VERSION, list(who.places), columns.tobytes(), who.schemas, sets, ids, contents, state.written, state.old
        )
        return FORMAT.encode(wire)

    def decode(self, data: bytes) -> CleanState:
        wire = FORMAT.decode(data)
        try:
            return self._read(wire)
        except (ValueError, IndexError) as error:
            message = f"not a state of clean: {error}"
            raise StateError(message) from error

    def _read(self, wire: _Wire) -> CleanState:
        state, n = self.empty(), len(wire.devices)
        columns = np.frombuffer(wire.columns, "<i8").astype(np.int64).reshape(n, 4 + MINIMA)
        heard, least, skew, sets = (columns[:, place].copy() for place in range(4))
        places = {name: place for place, name in enumerate(wire.devices)}
        if len(places) != n or any(not 0 <= place < n for place in wire.schemas):
            message = "its devices do not fit together"
            raise ValueError(message)
        state.devices = Devices(places, heard, least, columns[:, 4:].copy(), skew, sets, wire.schemas)
        state.sets = {tuple(each.metrics): from_wire(each, n) for each in wire.sets}
        state.old = wire.old
        _fill_ring(state, wire.ids, wire.contents, wire.written)
        return state


def _fill_ring(state: CleanState, ids: bytes, contents: bytes, written: int) -> None:
    held = min(written, RING)
    if not len(ids) == len(contents) == 8 * held:
        message = f"its ring does not hold {held} readings"
        raise ValueError(message)
    state.ids[:held], state.contents[:held] = np.frombuffer(ids, "<u8"), np.frombuffer(contents, "<u8")
    state.written = written


CLEAN_CODEC = _Codec()
