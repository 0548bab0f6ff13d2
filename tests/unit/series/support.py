"""Packs through the real runner over memory ports, and the plain model of what must come out."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack, Table
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Device, Flag
from watchkeeper.run import Runner
from watchkeeper.stages.store import STORE_CODEC, store
from watchkeeper.topology import DEVICES, FINAL_DATA_STORAGE, Stage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence

    from watchkeeper.ports import Ports

STAGE = Stage(
    "store",
    on=(FINAL_DATA_STORAGE,),
    take=store,
    writes=(DEVICES,),
    uses=("knowledge", "blobs"),
    state="shard",
    codec=STORE_CODEC,
)
SHARDS = 2
NOW = 1_700_000_000_000


@dataclasses.dataclass
class Store:
    """The stage under its runner; `now` is its clock, which does not move on its own."""

    ports: Ports = dataclasses.field(default_factory=lambda: memory_ports(partitions=1))
    now: int = NOW
    catalogue: str = ""

    def __post_init__(self) -> None:
        files = {"devices/all.yaml": self.catalogue} if self.catalogue else {}
        published = Published(self.ports, Bundle.from_files(files))
        self.runner = Runner(STAGE, FINAL_DATA_STORAGE, self.ports, published, SHARDS, lambda: self.now)
        self.taken = -1

    def send(self, packs: Iterable[Pack]) -> None:
        messages = [Message(pack.shard, pack.encode()) for pack in packs]
        self.ports.stream.append(FINAL_DATA_STORAGE.name, messages)

    def take(self, limit: int = 1000) -> Counter[str]:
        messages = self.ports.stream.read(FINAL_DATA_STORAGE.name, 0, self.taken, limit)
        counts = self.runner.take(0, messages)
        self.taken = messages[-1].offset
        return counts

    def store(self, packs: Sequence[Pack], cuts: Sequence[int] = ()) -> None:
        """All packs, in batches of these many; what is left in one more."""
        self.send(packs)
        left = len(packs)
        for cut in cuts:
            if 0 < cut <= left:
                self.take(cut)
                left -= cut
        if left:
            self.take(left)


def pack(shard: int, device: str, rows: Sequence[tuple[int, Sequence[float]]], **columns: object) -> Pack:
    """Readings (time, values of `a`, `b`, …) of one device."""
    metrics = tuple("abcdef"[: len(rows[0][1])])
    times = [ts for ts, _ in rows]
    values = np.array([row for _, row in rows], np.float64).T
    table = Table.build(metrics, [0] * len(rows), times, [NOW] * len(rows), values, **columns)  # type: ignore[arg-type]
    return Pack(shard, [Device("acme", device, "plant-1")], [table])


def final_points(packs: Iterable[Pack], device: str, metric: str, start: int, end: int) -> list[tuple[int, float]]:
    """What the series must hold: the last value to arrive at each time; readings without a time all stand."""
    at: dict[int, float] = {}
    beside: defaultdict[int, list[float]] = defaultdict(list)
    for each in packs:
        for reading in each.readings():
            value = reading.values.get(metric)
            if reading.device != device or value is None or math.isnan(value) or not start <= reading.ts < end:
                continue
            if reading.flags & Flag.NO_TIME:
                beside[reading.ts].append(value)
            else:
                at[reading.ts] = value
    times = sorted({*at, *beside})
    return [(ts, v) for ts in times for v in ([at[ts]] if ts in at else []) + beside[ts]]


def last_point(packs: Iterable[Pack], device: str, metric: str) -> tuple[int, float] | None:
    """The latest value; at one time, the one that arrived last."""
    last: tuple[int, float] | None = None
    for each in packs:
        for reading in each.readings():
            value = reading.values.get(metric)
            known = reading.device == device and value is not None
            if known and (last is None or reading.ts >= last[0]):
                last = (reading.ts, value)
    return last
