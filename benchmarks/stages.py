"""What a reading costs in each stage: the real worker over memory ports, JSON in and out included, on one core.

Readings of four metrics come as HTTP batches of 100, ten of them made durable together; the worker takes what waits. It
must not matter how many devices there are, nor how many days (of a reading a minute from each of 100 devices) are
stored already.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from results import save

from watchkeeper.ids import shard_of
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message, Ports
from watchkeeper.published import Published
from watchkeeper.records import Device
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION, FINAL_DATA_STORAGE
from watchkeeper.worker import Worker
from watchkeeper_local.knowledge import read_bundle

NOW = 1_790_000_000_000
BATCH, GROUP = 100, 10
PARTITIONS, DAY_MINUTES, PACK_ROWS = 4, 1_440, 2_000
LEVELS = np.array([[20.5], [61.25], [2.1], [12.75]])
WARM_UP = 20  # groups before anything is counted
DECIDING = ("clean", "rule_check", "ml_score", "store")


def requests(first: int, devices: int) -> list[RawMessage]:
    """A group of batches; device after device, a second between two readings of one."""
    made = []
    for number in range(first, first + GROUP):
        readings = [reading(number * BATCH + row, devices) for row in range(BATCH)]
        made.append(RawMessage(msgspec.json.encode(readings), NOW, "default", request=str(number)))
    return made


def reading(count: int, devices: int) -> dict[str, object]:
    """A reading of about 200 bytes."""
    values = {
        "pressure": 20.5 + (count * 7919 % 100) / 50,
        "temperature": 61.25 + (count * 104729 % 100) / 40,
        "vibration": 2.1 + (count * 1299709 % 100) / 90,
        "current": 12.75 + (count % 50) / 100,
    }
    ts = NOW - 3_600_000 + count // devices * 1000
    return {"device": f"press-{count % devices:05d}", "ts": ts, "values": values, "tags": {"line": "a"}}


class Costs(msgspec.Struct, frozen=True):
    """Microseconds a reading by stage, and `all` by the clock on the wall: medians."""

    devices: int
    days: int
    tries: int
    costs: dict[str, float]


def run(devices: int, shards: int, groups: int, days: int = 0) -> dict[str, float]:
    """One try, with so many days stored before. AssertionError: a reading is missing."""
    ports = memory_ports(PARTITIONS)
    published = Published(ports, read_bundle())
    if days:
        fill(ports, published, devices, shards, days)
    before_all = ports.meter.total("0001-01-01", "9999-12-31").get("store", {}).get("stored", 0)
    worker = Worker(ports, published, shards=shards, clock=lambda: NOW)
    ingest = Runner(STAGES["ingest"], None, ports, published, shards, lambda: NOW)
    took, before = 0.0, {}
    for number in range(WARM_UP + groups):
        bodies = requests(number * GROUP, devices)
        if number == WARM_UP:
            before, took, ingested = busy(ports), 0.0, 0.0
        started = time.perf_counter()
        ingest.request(lambda context, bodies=bodies: admit(bodies, BATCH_DATA_INGESTION, context)[0])
        ingested = time.perf_counter() - started + (ingested if number else 0.0)
        while worker.step()["messages"]:
            pass
        took += time.perf_counter() - started
    counted = ports.meter.total("0001-01-01", "9999-12-31")
    accepted = counted["ingest"]["accepted"]
    assert accepted == counted["store"]["stored"] - before_all == (WARM_UP + groups) * GROUP * BATCH
    readings = groups * GROUP * BATCH
    costs = {"ingest": ingested * 1e6 / readings}
    costs |= {stage: (busy(ports)[stage] - before[stage]) / readings for stage in DECIDING}
    return {**costs, "all": took * 1e6 / readings}


def fill(ports: Ports, published: Published, devices: int, shards: int, days: int) -> None:
    """A lake as the store stage makes it: days with a reading a minute from each device."""
    runner = Runner(STAGES["store"], FINAL_DATA_STORAGE, ports, published, shards, lambda: NOW)
    names = [Device("default", f"press-{number:05d}", "") for number in range(devices)]
    by_shard = [[who for who in names if shard_of(who.tenant, who.device, shards) == shard] for shard in range(shards)]
    rng = np.random.default_rng(5)
    minutes = np.arange(-days * DAY_MINUTES, 0) * 60_000 + NOW - DAY_MINUTES * 60_000
    stream, topic = ports.stream, FINAL_DATA_STORAGE.name
    for shard, mine in enumerate(by_shard):
        if not mine:
            continue
        step, partition = max(1, PACK_ROWS // len(mine)), shard % PARTITIONS
        taken = stream.committed("store", topic, partition)
        for low in range(0, len(minutes), step):
            some = minutes[low : low + step]
            device = np.tile(np.arange(len(mine)), len(some))
            ts = np.repeat(some, len(mine))
            values = np.round(LEVELS + np.abs(rng.standard_normal((4, len(ts)))), 3)
            table = Table.build(("pressure", "temperature", "vibration", "current"), device, ts, ts + 50, values)
            stream.append(topic, [Message(shard, Pack(shard, mine, [table]).encode())])
            messages = stream.read(topic, partition, taken, 64)
            taken = messages[-1].offset
            runner.take(partition, messages, lambda p=partition, last=taken: stream.commit("store", topic, p, last))  # type: ignore[misc]


def measure(cases: Sequence[tuple[int, int]], shards: int, groups: int, tries: int) -> list[Costs]:
    """Each case (devices, days stored) so many times, in turn."""
    found: dict[tuple[int, int], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(tries):
        for devices, days in cases:
            found[devices, days].append(run(devices, shards, groups, days))
    return [
        Costs(devices, days, tries, {name: statistics.median(each[name] for each in costs) for name in costs[0]})
        for (devices, days), costs in found.items()
    ]


def busy(ports: object) -> dict[str, float]:
    """Microseconds that the stages have been busy so far."""
    counted = ports.meter.total("0001-01-01", "9999-12-31")  # type: ignore[attr-defined]
    return {stage: counted[stage]["busy_us"] for stage in DECIDING}


def show(rows: Sequence[Costs]) -> None:
    print("microseconds a reading, one core, memory ports")
    print(f"{'devices':>8}{'days':>6}" + "".join(f"{name:>12}" for name in rows[0].costs) + "   readings/s")
    for row in rows:
        costs = "".join(f"{cost:>12.1f}" for cost in row.costs.values())
        print(f"{row.devices:>8}{row.days:>6}{costs}{1e6 / row.costs['all']:>13,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, action="append", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--days", type=int, action="append", help="stored before, of 100 devices; default: 1 and 30")
    parser.add_argument("--shards", type=int, default=4, help="as `watchkeeper up` has")
    parser.add_argument("--groups", type=int, default=30, help="of 1,000 readings each")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--save", default="", help="name of the file of results")
    parser.add_argument("--results", default="", help="folder of results")
    asked = parser.parse_args()
    cases = [(devices, 0) for devices in asked.devices or (100, 1_000, 10_000)]
    cases += [(100, days) for days in asked.days or (1, 30)]
    rows = measure(cases, asked.shards, asked.groups, asked.tries)
    show(rows)
    if asked.save and asked.results:
        save(asked.save, rows, Path(asked.results))


if __name__ == "__main__":
    main()
