"""What clean remembers of a shard: each device's newest time and last good values, and a ring of ids seen lately."""

from __future__ import annotations

import dataclasses
import functools

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.codec import Format
from watchkeeper.errors import StateError
from watchkeeper.ids import text_id

VERSION = 1
RING = 4096  # readings a shard remembers: a client that tries again within these is noticed


class _Wire(msgspec.Struct, array_like=True):
    v: int
    devices: list[str]
    newest: bytes
    last_values: dict[str, dict[int, float]]
    ids: bytes
    contents: bytes
    written: int


FORMAT = Format(_Wire, VERSION, "a state of clean")


@dataclasses.dataclass(slots=True)
class CleanState:
    """State of one shard. `newest` is epoch ms by slot (0: none yet); ids and contents form a ring.

    A slot is a device's readings of one set of metrics: what a device sends in several sets is in no order between
    them once it is in a pack. `last_values` has, by metric and slot, the last good value of metrics that are filled.
    """

    slots: dict[str, int]
    newest: NDArray[np.int64]
    last_values: dict[str, dict[int, float]]
    ids: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    written: int = 0

    def slot(self, tenant: str, device: str, metrics: tuple[str, ...]) -> int:
        """The place in the arrays of a device's readings of these metrics; a new one if they were never seen."""
        key = _slot_id(tenant, device, metrics)
        found = self.slots.get(key)
        if found is None:
            found = self.slots[key] = len(self.slots)
            if found >= len(self.newest):
                self.newest = np.concatenate([self.newest, np.zeros(max(8, found), np.int64)])
        return found

    def remember(self, ids: NDArray[np.uint64], contents: NDArray[np.uint64]) -> None:
        """Put readings into the ring; the oldest fall out."""
        ids, contents = ids[-RING:], contents[-RING:]
        at = (self.written + np.arange(len(ids))) % RING
        self.ids[at], self.contents[at] = ids, contents
        self.written += len(ids)

    def seen(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Ids and contents of the readings in the ring, in no particular order."""
        held = min(self.written, RING)
        return self.ids[:held], self.contents[:held]


@functools.lru_cache(maxsize=65_536)
def _slot_id(tenant: str, device: str, metrics: tuple[str, ...]) -> str:
    return text_id(tenant, device, *sorted(metrics))


class _Codec:
    version, version_of = FORMAT.version, FORMAT.version_of

    def empty(self) -> CleanState:
        zeros = np.zeros(RING, np.uint64)
        return CleanState({}, np.zeros(8, np.int64), {}, zeros, zeros.copy())

    def encode(self, state: CleanState) -> bytes:
        newest = state.newest[: len(state.slots)].tobytes()
        ids, contents = (part.tobytes() for part in state.seen())
        wire = _Wire(VERSION, list(state.slots), newest, state.last_values, ids, contents, state.written)
        return FORMAT.encode(wire)

    def decode(self, data: bytes) -> CleanState:
        wire = FORMAT.decode(data)
        try:
            newest = np.frombuffer(wire.newest, np.int64)
            ids, contents = (np.frombuffer(part, np.uint64) for part in (wire.ids, wire.contents))
        except ValueError as error:
            message = f"not a state of clean: {error}"
            raise StateError(message) from error
        held = min(wire.written, RING)
        if len(newest) != len(wire.devices) or not len(ids) == len(contents) == held:
            message = "a state of clean that does not fit together"
            raise StateError(message)
        state = self.empty()
        state.slots = {device: slot for slot, device in enumerate(wire.devices)}
        state.newest = np.concatenate([newest, np.zeros(8, np.int64)])
        state.last_values = wire.last_values
        state.ids[: len(ids)], state.contents[: len(ids)] = ids, contents
        state.written = wire.written
        return state


CLEAN_CODEC = _Codec()
