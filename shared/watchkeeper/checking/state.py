"""What rule_check remembers of a shard: its devices by slot, when each was heard, and where each rule stands."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec
import numpy as np

from watchkeeper.checking.foresight import Foresight
from watchkeeper.checking.roster import Roster
from watchkeeper.codec import Format
from watchkeeper.errors import StateError
from watchkeeper.packs import NO_INTS, Bools, Floats, Ints

VERSION = 3
ROOM = 8  # slots that are free at first

Column = TypeVar("Column", Ints, Bools)


class Breach(msgspec.Struct, array_like=True, omit_defaults=True):
    """A rule of a device that is not at rest. Times are event times, epoch ms; 0: not so.

    Broken since `pending`; an episode since `opened`; clear since `clearing`; last said at `told`, with `count`
    readings since.
    """

    pending: int = 0
    opened: int = 0
    clearing: int = 0
    told: int = 0
    count: int = 0


class Known(msgspec.Struct, array_like=True, frozen=True):
    """A device that has been heard, and its site."""

    tenant: str
    device: str
    site: str


@dataclasses.dataclass(slots=True)
class Samples:
    """A rule's remembered readings, by slot and then by time: whose, when (epoch ms), and the value."""

    slot: Ints
    ts: Ints
    value: Floats

    @classmethod
    def none(cls) -> Samples:
        """No reading."""
        return cls(NO_INTS, NO_INTS, np.empty(0))

    def where(self, rows: Bools | Ints) -> Samples:
        """These of them."""
        return Samples(self.slot[rows], self.ts[rows], self.value[rows])

    def and_also(self, more: Samples) -> Samples:
        """Both, one after the other."""
        slot, ts = np.concatenate([self.slot, more.slot]), np.concatenate([self.ts, more.ts])
        return Samples(slot, ts, np.concatenate([self.value, more.value]))


@dataclasses.dataclass(slots=True)
class CheckState:
    """State of one shard. A device's slot is its place in `devices` and in the columns, which have room for more.

    `received` (wall time) and `ts` (event time) are of the newest reading, `live`: it was no backfill; `silent` has the
    ids of the rules that have said that a device is silent. By rule and slot: `breaches` of rules that are not at rest,
    `marks` of those that count times or follow a sequence; by rule: `samples` of those that look back. `foresight`
    has the trends of metrics with levels, and what is predicted. `awake` is since when the timer has run without a
    break. `roster` is what the bundle in force knows of the devices, and is not stored.
    """

    devices: list[Known] = dataclasses.field(default_factory=list)
    received: Ints = dataclasses.field(default_factory=lambda: np.zeros(ROOM, np.int64))
    ts: Ints = dataclasses.field(default_factory=lambda: np.zeros(ROOM, np.int64))
    live: Bools = dataclasses.field(default_factory=lambda: np.zeros(ROOM, np.bool_))
    silent: dict[int, list[str]] = dataclasses.field(default_factory=dict)
    breaches: dict[str, dict[int, Breach]] = dataclasses.field(default_factory=dict)
    marks: dict[str, dict[int, list[int]]] = dataclasses.field(default_factory=dict)
    samples: dict[str, Samples] = dataclasses.field(default_factory=dict)
    foresight: Foresight = dataclasses.field(default_factory=Foresight)
    ticked: int = 0
    awake: int = 0
    roster: Roster | None = dataclasses.field(default=None, compare=False)
    _slots: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    def slot(self, tenant: str, device: str, site: str) -> int:
        """The slot of a device; a new one if it was never heard."""
        found = self.find(tenant, device)
        if found is None:
            found = self._slots[tenant, device] = len(self.devices)
            self.devices.append(Known(tenant, device, site))
            if found >= len(self.received):
                self.received, self.ts = _longer(self.received), _longer(self.ts)
                self.live = _longer(self.live)
        return found

    def find(self, tenant: str, device: str) -> int | None:
        """The slot of a device; None: it was never heard."""
        return self._slots.get((tenant, device))

    def tidy(self) -> None:
        """Drop what holds nothing."""
        self.silent = {slot: rules for slot, rules in self.silent.items() if rules}
        self.breaches = {rule: breaches for rule, breaches in self.breaches.items() if breaches}
        self.marks = {rule: marks for rule, marks in self.marks.items() if marks}
        self.samples = {rule: samples for rule, samples in self.samples.items() if len(samples.slot)}

    def moved(self, slot: int, site: str) -> None:
        """The device is at another site now."""
        self.devices[slot] = msgspec.structs.replace(self.devices[slot], site=site)


def _longer(column: Column) -> Column:
    return np.concatenate([column, np.zeros(len(column), column.dtype)])


# --- as bytes -------------------------------------------------------------------------------------------------------


class _Wire(msgspec.Struct, array_like=True):
    v: int
    devices: list[Known]
    received: bytes
    ts: bytes
    live: bytes
    silent: dict[int, list[str]]
    breaches: dict[str, dict[int, Breach]]
    marks: dict[str, dict[int, list[int]]]
    samples: dict[str, tuple[bytes, bytes, bytes]]
    ticked: int
    awake: int
    foresight: bytes


def _upgrade_1(content: list[Any]) -> list[Any]:
    """Of version 1, which had devices by key, and breaches by device and then by rule."""
    heard, by_device = content[1], content[2]
    slots = {key: slot for slot, key in enumerate(heard)}
    breaches: dict[str, dict[int, Any]] = {}
    for key, by_rule in by_device.items():
        for rule, breach in by_rule.items():
            breaches.setdefault(rule, {})[slots[key]] = breach
    # As version 1 had them: tenant, device, site, received, ts, live, rules by which it is silent.
    received, ts = (np.array([each[at] for each in heard.values()], np.int64).tobytes() for at in (3, 4))
    live = np.array([each[5] for each in heard.values()], np.bool_).tobytes()
    silent = {slots[key]: each[6] for key, each in heard.items() if each[6]}
    known = [each[:3] for each in heard.values()]
    return [2, known, received, ts, live, silent, breaches, {}, {}, *content[3:], *[0] * (5 - len(content))]


def _upgrade_2(content: list[Any]) -> list[Any]:
    """Of version 2, which predicted nothing."""
    return [*content, b""]


FORMAT = Format(_Wire, VERSION, "a CheckState", {1: _upgrade_1, 2: _upgrade_2})


class _Codec:
    version, version_of = FORMAT.version, FORMAT.version_of

    def empty(self) -> CheckState:
        return CheckState()

    def encode(self, state: CheckState) -> bytes:
        length = len(state.devices)
        columns = (state.received[:length].tobytes(), state.ts[:length].tobytes(), state.live[:length].tobytes())
        samples = {
            rule: (held.slot.tobytes(), held.ts.tobytes(), held.value.tobytes())
            for rule, held in state.samples.items()
            if len(held.slot)
        }
        wire = _Wire(
            VERSION, state.devices, *columns, state.silent, state.breaches, state.marks, samples, state.ticked,
            state.awake, state.foresight.encode(),
        )  # fmt: skip
        return FORMAT.encode(wire)

    def decode(self, data: bytes) -> CheckState:
        wire = FORMAT.decode(data)
        try:
            return _from_wire(wire)
        except (ValueError, OverflowError) as error:
            message = f"not a CheckState: {error}"
            raise StateError(message) from error


def _from_wire(wire: _Wire) -> CheckState:
    """ValueError: its parts do not fit together."""
    state, length = CheckState(ticked=wire.ticked, awake=wire.awake), len(wire.devices)
    columns = np.frombuffer(wire.received, np.int64), np.frombuffer(wire.ts, np.int64)
    live = np.frombuffer(wire.live, np.bool_)
    for known in wire.devices:
        state.slot(known.tenant, known.device, known.site)
    slots = [*wire.silent]
    slots += [slot for breaches in wire.breaches.values() for slot in breaches]
    slots += [slot for marks in wire.marks.values() for slot in marks]
    state.samples = {rule: _samples(held, length) for rule, held in wire.samples.items()}
    if {len(state.devices), len(columns[0]), len(columns[1]), len(live)} != {length} or not _within(slots, length):
        raise ValueError(f"{length} devices, and columns or slots that do not fit them")
    state.received[:length], state.ts[:length], state.live[:length] = *columns, live
    state.silent, state.breaches, state.marks = wire.silent, wire.breaches, wire.marks
    state.foresight = Foresight.decode(wire.foresight, length)
    return state


def _samples(held: tuple[bytes, bytes, bytes], length: int) -> Samples:
    slot, ts = np.frombuffer(held[0], np.int64), np.frombuffer(held[1], np.int64)
    value = np.frombuffer(held[2], np.float64)
    if not len(slot) == len(ts) == len(value) or not _within(slot.tolist(), length):
        raise ValueError("samples that do not fit together")
    return Samples(slot, ts, value)


def _within(slots: list[int], length: int) -> bool:
    return all(0 <= slot < length for slot in slots)


CHECK_CODEC = _Codec()
