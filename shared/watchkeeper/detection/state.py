"""All a shard's detector remembers, and its form as bytes.

Format: b"WKD" and the version as a digit, CRC-32 of the rest, then MessagePack of the devices, the metrics' names, the
(device, metric) of each series and the arrays of SeriesTable, little-endian. Devices and metrics are sorted, so equal
states are equal bytes.
"""

import copy
import zlib
from typing import Annotated

import msgspec
import numpy as np

from watchkeeper.detection.episode import LEAST_BAR, LEAST_EXCESS, NEVER, DeviceState
from watchkeeper.detection.series import I64, SeriesTable
from watchkeeper.errors import StateError
from watchkeeper.migration import Upgrades, migrated

MAGIC = b"WKD"
VERSION = 1
UPGRADES: Upgrades = {}
"""What leads from an earlier version's `_Stored`, as a list, to the next one's."""

_Names = list[str]


class _Stored(msgspec.Struct, array_like=True):
    names: _Names
    devices: list[DeviceState]
    metrics: _Names
    owner: bytes
    metric: bytes
    arrays: Annotated[list[bytes], msgspec.Meta(min_length=4, max_length=4)]


class DetectorState:
    """Baselines of every series and the alarm of every device of one shard. `score` changes it in place."""

    __slots__ = ("devices", "series", "slots")

    def __init__(self) -> None:
        self.devices: dict[str, DeviceState] = {}
        self.slots: dict[str, dict[str, int]] = {}
        self.series = SeriesTable()

    @classmethod
    def empty(cls) -> "DetectorState":
        return cls()

    def copy(self) -> "DetectorState":
        """A state of its own, for a batch that may have to be taken back."""
        return copy.deepcopy(self)

    def slot(self, device: str, metric: str) -> int:
        """The slot of a series, made when it is first seen."""
        of_device = self.slots.setdefault(device, {})
        if metric not in of_device:
            of_device[metric] = self.series.add(1)
        return of_device[metric]

    def encode(self) -> bytes:
        names = sorted(self.devices)
        metrics = sorted({metric for of_device in self.slots.values() for metric in of_device})
        rank = {metric: index for index, metric in enumerate(metrics)}
        rows = [
            (owner, rank[metric], slot)
            for owner, name in enumerate(names)
            for metric, slot in sorted(self.slots.get(name, {}).items())
        ]
        owner, metric_of, slots = np.array(rows, np.int64).reshape(-1, 3).T
        arrays = self.series.arrays(slots)
        layout = SeriesTable.layout(len(rows))
        stored = _Stored(
            names,
            [self.devices[name] for name in names],
            metrics,
            owner.astype("<i4").tobytes(),
            metric_of.astype("<i4").tobytes(),
            [part.astype(kind).tobytes() for part, (kind, _) in zip(arrays, layout, strict=True)],
        )
        body = msgspec.msgpack.encode(stored)
        return b"%b%d" % (MAGIC, VERSION) + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decode(cls, data: bytes) -> "DetectorState":
        """The state in `data`, of this or an earlier version; StateError if it is damaged or of a later one."""
        found = cls.version_of(data)
        if zlib.crc32(data[8:]).to_bytes(4, "little") != bytes(data[4:8]):
            raise StateError("detector state is damaged: its checksum does not match")
        try:
            body = data[8:]
            if found != VERSION:
                content = migrated(
                    msgspec.msgpack.decode(body), found, VERSION, UPGRADES, "a detector state", StateError
                )
                body = msgspec.msgpack.encode(content)
            return cls._restore(msgspec.msgpack.decode(body, type=_Stored))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise StateError(f"detector state cannot be read: {error}") from error

    @staticmethod
    def version_of(data: bytes) -> int:
        """The version that bytes say they are of; StateError if they are no detector state."""
        head = bytes(data[:4])
        if head[:3] != MAGIC or not head[3:].isdigit():
            raise StateError(f"detector state begins with {head!r}, not {MAGIC!r} and a version: damaged")
        return int(head[3:])

    @classmethod
    def _restore(cls, stored: _Stored) -> "DetectorState":
        owner = _index(stored.owner, len(stored.names))
        metric = _index(stored.metric, len(stored.metrics))
        if len(stored.names) != len(stored.devices) or owner.size != metric.size:
            raise ValueError("names, devices and series do not match")
        if any(not _sane(device) for device in stored.devices):
            raise ValueError("a device holds impossible values")
        state = cls()
        state.devices = dict(zip(stored.names, stored.devices, strict=True))
        for slot, (at, of) in enumerate(zip(owner.tolist(), metric.tolist(), strict=True)):
            state.slots.setdefault(stored.names[at], {})[stored.metrics[of]] = slot
        layout = SeriesTable.layout(owner.size)
        state.series = SeriesTable.from_arrays(
            [
                np.frombuffer(part, kind).reshape(shape).astype(kind[1:])
                for part, (kind, shape) in zip(stored.arrays, layout, strict=True)
            ]
        )
        series = state.series
        if not (np.isfinite(series.num).all() and np.isfinite(series.profile).all()):
            raise ValueError("a series holds values that are not finite")
        return state


def _index(data: bytes, below: int) -> I64:
    index = np.frombuffer(data, "<i4").astype(np.int64)
    if ((index < 0) | (index >= below)).any():
        raise ValueError("a series belongs to nothing")
    return index


def _sane(device: DeviceState) -> bool:
    d = device
    whole = (d.last_ts, d.opened_ts, d.edge_ts, d.quiet_ts)
    counts = (d.late, d.readings, d.calm, d.length, d.quiet, d.since_edge, d.exceeded)
    floats = (d.forest, d.held, d.peak, d.usual, d.bar - LEAST_BAR, d.excess - LEAST_EXCESS)
    return (
        all(NEVER <= value < 2**63 for value in whole)
        and all(0 <= value < 2**62 for value in counts)
        and all(0.0 <= value < 1e12 for value in floats)
    )
