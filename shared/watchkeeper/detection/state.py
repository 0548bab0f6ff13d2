"""All a shard's detector remembers, and its form as bytes.

Format: b"WKD" and the version as a digit, CRC-32 of the rest, then MessagePack of the devices' names, the metrics'
names, how many series each device has, the metric of each series, and the records of devices and series (devices.py,
series.py), little-endian. Devices and their metrics are sorted, so equal states are equal bytes. Formats 1 and 2 are
converted: earlier.py, second.py.
"""

import copy
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection import earlier, second
from watchkeeper.detection.devices import DEVICE, fresh_devices
from watchkeeper.detection.series import BINS, FIELDS, HOURS, I64, INDEX, RECORD, TAILS, fresh, from_bfloat
from watchkeeper.errors import StateError
from watchkeeper.migration import Upgrades, migrated

MAGIC = b"WKD"
VERSION = 3
UPGRADES: Upgrades = {1: earlier.upgrade, 2: second.upgrade}
"""What leads from an earlier version's `_Stored`, as a list, to the next one's."""
MOST_PLACES = 255


class _Stored(msgspec.Struct, array_like=True):
    names: list[str]
    metrics: list[str]
    held: bytes
    metric: bytes
    devices: bytes
    series: bytes


class _Listed(msgspec.Struct):
    """What of the encoding stays the same until a series is added."""

    names: list[str]
    metrics: list[str]
    held: bytes
    metric: bytes
    order: I64
    slots: I64


class DetectorState:
    """Baselines of every series and the alarm of every device of one shard. `score` changes it in place."""

    __slots__ = ("_listed", "_tables", "devices", "rows", "series", "slots", "used")

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.slots: list[dict[str, int]] = []  # by row of device, then metric
        self.devices: NDArray[np.void] = fresh_devices(0)
        self.series: NDArray[np.void] = fresh(0)
        self.used = 0  # records of series
        self._tables: dict[tuple[str, ...], I64] = {}
        self._listed: _Listed | None = None

    @classmethod
    def empty(cls) -> "DetectorState":
        return cls()

    def copy(self) -> "DetectorState":
        """A state of its own, for a batch that may have to be taken back."""
        return copy.deepcopy(self)

    def device_rows(self, names: Sequence[str]) -> I64:
        """The rows of devices, made when they are first seen."""
        known = self.rows
        try:
            return np.fromiter(map(known.__getitem__, names), np.int64, len(names))
        except KeyError:
            self._meet(names)
        return np.array([known[name] for name in names], np.int64)

    def _meet(self, names: Sequence[str]) -> None:
        known = self.rows
        for name in names:
            if name not in known:
                known[name] = len(known)
                self.slots.append({})
                self._listed = None
        if len(known) > self.devices.size:
            self.devices = _grown(self.devices, fresh_devices(max(len(known), 2 * self.devices.size, 8)))

    def find(self, rows: I64, metrics: tuple[str, ...], most: int) -> I64:
        """Where the series of these devices are: int64 (devices, metrics), -1 unknown as yet, -2 beyond the cap."""
        table = self._tables.get(metrics)
        if table is None or len(table) < len(self.rows):
            grown = np.full((max(len(self.rows), self.devices.size), len(metrics)), -3, np.int64)
            if table is not None:
                grown[: len(table)] = table
            elif len(self._tables) > 64:
                self._tables.clear()
            table = self._tables[metrics] = grown
        found = table.take(rows, axis=0)
        if np.count_nonzero(found < 0):
            unread = found == -3
            for row in np.unique(rows[unread.any(axis=1)]).tolist():
                own = self.slots[row]
                other = -2 if len(own) >= most else -1
                table[row] = [own.get(metric, other) for metric in metrics]
            found = table[rows]
        return found

    def add(self, row: int, metric: str, most: int) -> int:
        """Make the series of a device's metric; -2: the device has as many as are scored."""
        own = self.slots[row]
        if metric in own:
            return own[metric]
        if len(own) >= min(most, MOST_PLACES):
            return -2
        if self.used == self.series.size:
            self.series = _grown(self.series, fresh(max(16, 2 * self.used)))
        own[metric] = self.used
        self.series["place"][self.used] = len(own) - 1
        self.used += 1
        self._listed = None
        for table in self._tables.values():
            table[row : row + 1] = -3
        return own[metric]

    def encode(self) -> bytes:
        listed = self._listed = self._listed or self._list()
        stored = _Stored(
            listed.names, listed.metrics, listed.held, listed.metric,
            self.devices[listed.order].tobytes(), self.series[listed.slots].tobytes(),
        )  # fmt: skip
        body = msgspec.msgpack.encode(stored)
        return b"".join((b"%b%d" % (MAGIC, VERSION), zlib.crc32(body).to_bytes(4, "little"), body))

    def _list(self) -> _Listed:
        names = sorted(self.rows)
        order = np.array([self.rows[name] for name in names], np.int64)
        metrics = sorted({metric for own in self.slots for metric in own})
        rank = {metric: index for index, metric in enumerate(metrics)}
        owned = [sorted(self.slots[row].items()) for row in order.tolist()]
        of, slots = np.array([(rank[m], slot) for own in owned for m, slot in own], np.int64).reshape(-1, 2).T
        held = np.array([len(own) for own in owned], "|u1").tobytes()
        return _Listed(names, metrics, held, of.astype("<i4").tobytes(), order, slots)

    @classmethod
    def decode(cls, data: bytes) -> "DetectorState":
        """The state in `data`, of this or an earlier version; StateError if it is damaged or of a later one."""
        found = cls.version_of(data)
        if zlib.crc32(data[8:]).to_bytes(4, "little") != bytes(data[4:8]):
            raise StateError("detector state is damaged: its checksum does not match")
        try:
            body = data[8:]
            if found != VERSION:
                held = msgspec.msgpack.decode(body)
                body = msgspec.msgpack.encode(migrated(held, found, VERSION, UPGRADES, "a detector state", StateError))
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
        held = np.frombuffer(stored.held, "|u1").astype(np.int64)
        metric = np.frombuffer(stored.metric, "<i4").astype(np.int64)
        devices = np.frombuffer(stored.devices, DEVICE).copy()
        series = np.frombuffer(stored.series, RECORD).copy()
        if not held.size == devices.size == len(stored.names) or not held.sum() == metric.size == series.size:
            raise ValueError("names, devices and series do not match")
        if metric.size and not (metric.min() >= 0 and metric.max() < len(stored.metrics)):
            raise ValueError("a series is of no metric")
        _check(devices, series)
        state = cls()
        state.rows = {name: row for row, name in enumerate(stored.names)}
        if len(state.rows) != held.size:
            raise ValueError("a device is there twice")
        state.devices, state.series, state.used = devices, series, series.size
        slot = 0
        for count in held.tolist():
            names = [stored.metrics[of] for of in metric[slot : slot + count].tolist()]
            state.slots.append({name: slot + at for at, name in enumerate(names)})
            slot += count
        return state


def _grown(old: NDArray[np.void], new: NDArray[np.void]) -> NDArray[np.void]:
    new[: old.size] = old
    return new


_COUNTS = (
    "late", "readings", "known", "interval", "raised", "often", "excess", "blocks", "beyond", "block_peak", "block_n",
    "since_edge", "in_a_row", "peak", "joint_n", "joint_wild", "joint_counted", "joint_counts",
)  # fmt: skip


def _check(devices: NDArray[np.void], series: NDArray[np.void]) -> None:
    """ValueError: a record holds what no scoring could have written."""
    numbers = [devices[name] for name, (kind, *_) in (DEVICE.fields or {}).items() if kind.base == np.dtype("<f4")]
    fields, tails = series["fields"], series["tails"].reshape(-1, TAILS * BINS)
    profile = from_bfloat(series["profile"])
    counts = fields[:, [INDEX[name] for name in ("n", "changes", "repeats", "longest", "wild")]]
    spreads = fields[:, [INDEX[n] for n in ("spread", "step", "short", "near_spread", "wide_spread", "variance")]]
    sane = (
        all(np.isfinite(part).all() for part in (*numbers, fields, series["anchor"]))
        and all((part >= 0).all() for part in (counts, spreads, *(devices[n] for n in _COUNTS)))
        and bool((tails <= series["counted"][:, None]).all())
        and bool((devices["joint_counts"] <= devices["joint_counted"][:, None]).all())
        and bool(np.abs(fields).max(initial=0.0) < 1e36)
        and bool((np.isfinite(profile) | np.isnan(profile)).all())
        and all(((series[name] >= -1) & (series[name] < 2 * HOURS)).all() for name in ("hour", "prev_hour"))
    )
    if not sane:
        raise ValueError("a record holds impossible values")


assert len(FIELDS) * 4 + TAILS * BINS * 2 + HOURS * 2 + 8 + 10 == RECORD.itemsize <= 256  # noqa: S101 - the budget
