"""How fast a device's series is answered, in process and by HTTP, from a lake as the store stage leaves it.

One of 16 shards, as 1,000 devices write it: for 30 days its first device has sent a reading of four metrics a second,
and in the last day 61 others have done the same. Everything went through the real stage into SQLite, the last minutes
in small batches, so that full, half-merged and fresh segments are all there.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import numpy as np
from results import save
from running import free_ports, up

from watchkeeper.ids import shard_of
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import DEFAULT_TENANT, Device
from watchkeeper.run import Runner
from watchkeeper.series.query import query
from watchkeeper.topology import FINAL_DATA_STORAGE
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.sqlite import SqlitePorts, open_ports

SHARDS, PARTITIONS = 16, 4
DAY_S = 86_400
METRICS = ("flow", "discharge_pressure", "vibration", "motor_current")
LEVELS = np.array([120.0, 6.2, 2.0, 42.0])
ROWS_A_PACK = 2_000
FRESH_S = 300


class Timing(msgspec.Struct, frozen=True):
    """One question: points answered, and the milliseconds it took; the first one is before anything was read."""

    question: str
    where: str
    points: int
    first_ms: float
    median_ms: float
    worst_ms: float


class Lake:
    """A shard that the store stage fills."""

    def __init__(self, ports: SqlitePorts, devices: int) -> None:
        names = (f"pump-{number:05d}" for number in range(100_000))
        self.shard = 3
        mine = (name for name in names if shard_of(DEFAULT_TENANT, name, SHARDS) == self.shard)
        self.devices = [Device(DEFAULT_TENANT, next(mine), "plant-north") for _ in range(devices)]
        self.ports, self.rows, self.now = ports, 0, time.time_ns() // 1_000_000
        self._rng = np.random.default_rng(7)
        published = Published(ports, read_bundle())
        self._runner = Runner(STAGES["store"], FINAL_DATA_STORAGE, ports, published, SHARDS, lambda: self.now)
        self._taken = -1

    @property
    def device(self) -> str:
        return self.devices[0].device

    def write(self, devices: int, first_s: int, last_s: int, at_once_s: int) -> None:
        """A reading a second of the first so many devices from `first_s` to `last_s` (seconds before now)."""
        for start in range(-first_s, -last_s, at_once_s):
            seconds = range(start, min(start + at_once_s, -last_s))
            self._store([Message(self.shard, pack.encode()) for pack in self._packs(devices, seconds)])
        self.ports.prune({FINAL_DATA_STORAGE.name: ["store"]}, 1)

    def _store(self, packs: list[Message]) -> None:
        stream, topic, partition = self.ports.stream, FINAL_DATA_STORAGE.name, self.shard % PARTITIONS
        stream.append(topic, packs)
        while messages := stream.read(topic, partition, self._taken, 64):
            last = self._taken = messages[-1].offset
            self._runner.take(partition, messages, lambda last=last: stream.commit("store", topic, partition, last))  # type: ignore[misc]

    def _packs(self, devices: int, seconds: range) -> Iterator[Pack]:
        step = max(1, ROWS_A_PACK // devices)
        for low in range(seconds.start, seconds.stop, step):
            some = np.arange(low, min(low + step, seconds.stop))
            device = np.tile(np.arange(devices), len(some))
            ts = self.now + 1000 * np.repeat(some, devices) + device  # a millisecond apart, as devices are
            noise = self._rng.standard_normal((len(METRICS), len(ts)))
            values = np.round(LEVELS[:, None] * (1 + 0.01 * noise), 3)
            score = np.round(self._rng.random(len(ts)) ** 4, 3)
            table = Table.build(METRICS, device, ts, ts + 40, values, score=score, tags=np.zeros(len(ts), np.int64))
            self.rows += len(ts)
            yield Pack(self.shard, self.devices[:devices], [table], tagsets=[{"line": "a"}])


def timed(question: str, where: str, ask: Callable[[], int], times: int) -> Timing:
    """Ask, and ask again. AssertionError: it answers otherwise the second time."""
    took, answers = [], set()
    for _ in range(times + 1):
        gc.collect()
        started = time.perf_counter()
        answers.add(ask())
        took.append(1000 * (time.perf_counter() - started))
    assert len(answers) == 1, f"{question}: {answers} points"
    return Timing(question, where, answers.pop(), took[0], statistics.median(took[1:]), max(took[1:]))


def measure(days: int, devices: int, times: int, at_once_s: int) -> list[Timing]:
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory() as folder:
        ports = open_ports(Path(folder), partitions=PARTITIONS, shards=SHARDS, durable=False)
        lake = Lake(ports, devices)
        started = time.perf_counter()
        lake.write(min(2, devices), days * DAY_S, DAY_S, 1800)
        lake.write(devices, DAY_S, FRESH_S, at_once_s)
        lake.write(devices, FRESH_S, 0, 1)
        took = time.perf_counter() - started
        print(f"{lake.rows:,} readings written in {took:.0f} s, {1e6 * took / lake.rows:.1f} µs each", flush=True)
        end = lake.now
        day, long = end - DAY_S * 1000, end - days * DAY_S * 1000
        asked = [
            ("a day, each reading", day, 100_000),
            ("a day, 500 points", day, 500),
            (f"{days} days, 500 points", long, 500),
            ("the last hour, each reading", end - 3_600_000, 10_000),
        ]
        for question, start, points in asked:

            def ask(start: int = start, points: int = points, question: str = question) -> int:
                found = query(ports.blobs, lake.shard, DEFAULT_TENANT, lake.device, "vibration", start, end, points)
                readings = sum(point[-1] for point in found.points) if found.bucket_ms else len(found.points)
                assert readings == (end - start) // 1000, f"{question}: {readings} readings"
                return len(found.points)

            timings.append(timed(question, "in process", ask, times))
        ports.close()
        http, mqtt = free_ports()
        flags = ["--shards", str(SHARDS), "--partitions", str(PARTITIONS), "--requests-per-second", "0"]
        with up(folder, http, mqtt, flags), httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as client:
            for question, start, points in asked:
                if points > 10_000:
                    continue

                def ask(start: int = start, points: int = points) -> int:
                    span = {"metric": "vibration", "from": start, "to": end, "points": points}
                    answer = client.get(f"/api/devices/{lake.device}/series", params=span).raise_for_status().content
                    return len(msgspec.json.decode(answer)["points"])

                timings.append(timed(question, "by HTTP", ask, times))
    return timings


def show(timings: list[Timing]) -> None:
    print(f"{'milliseconds':<30}{'':<12}{'points':>8}{'first':>9}{'median':>9}{'worst':>9}")
    for each in timings:
        row = f"{each.question:<30}{each.where:<12}{each.points:>8,}"
        print(f"{row}{each.first_ms:>9.1f}{each.median_ms:>9.1f}{each.worst_ms:>9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30, help="of the one device")
    parser.add_argument("--devices", type=int, default=62, help="in the shard, in the last day")
    parser.add_argument("--times", type=int, default=9, help="that each question is asked")
    parser.add_argument("--at-once", type=int, default=10, help="seconds that the store stage takes at once")
    parser.add_argument("--save", default="", help="name of the file of results")
    parser.add_argument("--results", default="", help="folder of results")
    asked = parser.parse_args()
    timings = measure(asked.days, asked.devices, asked.times, asked.at_once)
    show(timings)
    if asked.save and asked.results:
        save(asked.save, timings, Path(asked.results))


if __name__ == "__main__":
    main()
