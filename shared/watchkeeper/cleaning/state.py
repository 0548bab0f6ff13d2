"""What clean remembers of a shard: each device's newest time and last good values, and a ring of ids seen lately."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.errors import StateError

VERSION = 1
RING = 4096  # readings a shard remembers: a client that tries again within these is noticed


class _Wire(msgspec.Struct, array_like=True):
    v: int
    devices: list[str]
    newest: bytes
    last_values: list[tuple[int, str, float]]
    ids: bytes
    contents: bytes
    written: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Wire)


@dataclasses.dataclass(slots=True)
class CleanState:
    """State of one shard. `newest` is epoch ms by device slot (0: none yet); ids and contents form a ring."""

    slots: dict[str, int]
    newest: NDArray[np.int64]
    last_values: dict[tuple[int, str], float]
    ids: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    written: int = 0

    def slot(self, tenant: str, device: str) -> int:
        """The device's place in the arrays; a new one if it was never seen."""
        key = f"{tenant}\0{device}"
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

    def seen_content(self, reading: np.uint64) -> np.uint64 | None:
        """The content that a reading of this id had when it was last seen; None: not seen lately."""
        at = np.flatnonzero(self.ids == reading)
        if not len(at):
            return None
        age = (self.written - 1 - at) % RING
        return np.uint64(self.contents[at[np.argmin(age)]])


class _Codec:
    def empty(self) -> CleanState:
        zeros = np.zeros(RING, np.uint64)
        return CleanState({}, np.zeros(8, np.int64), {}, zeros, zeros.copy())

    def encode(self, state: CleanState) -> bytes:
        values = [(slot, metric, value) for (slot, metric), value in state.last_values.items()]
        newest = state.newest[: len(state.slots)].tobytes()
        ring = min(state.written, RING)
        ids, contents = state.ids[:ring].tobytes(), state.contents[:ring].tobytes()
        return _encoder.encode(_Wire(VERSION, list(state.slots), newest, values, ids, contents, state.written))

    def decode(self, data: bytes) -> CleanState:
        try:
            wire = _decoder.decode(data)
            newest = np.frombuffer(wire.newest, np.int64)
            ids, contents = (np.frombuffer(part, np.uint64) for part in (wire.ids, wire.contents))
        except (msgspec.MsgspecError, ValueError) as error:
            message = f"not a state of clean: {error}"
            raise StateError(message) from error
        if wire.v != VERSION or len(newest) != len(wire.devices) or not len(ids) == len(contents) <= RING:
            message = f"a state of clean of version {wire.v} that does not fit together; this release reads {VERSION}"
            raise StateError(message)
        state = self.empty()
        state.slots = {device: slot for slot, device in enumerate(wire.devices)}
        state.newest = np.concatenate([newest, np.zeros(8, np.int64)])
        state.last_values = {(slot, metric): value for slot, metric, value in wire.last_values}
        state.ids[: len(ids)], state.contents[: len(ids)] = ids, contents
        state.written = wire.written
        return state


CLEAN_CODEC = _Codec()
