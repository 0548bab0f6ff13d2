"""What a reading costs in each stage: the real worker over memory ports, JSON in and out included, on one core.

Readings of four metrics come as HTTP batches of 100, ten of them made durable together; the worker takes what waits.
"""

from __future__ import annotations

import argparse
import time

import msgspec

from watchkeeper.memory import memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.published import Published
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper.worker import Worker
from watchkeeper_local.knowledge import read_bundle

NOW = 1_790_000_000_000
BATCH, GROUP = 100, 10
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


def run(devices: int, shards: int, groups: int) -> dict[str, float]:
    """Microseconds a reading by stage, and `all` by the clock on the wall. AssertionError: a reading is missing."""
    ports = memory_ports(4)
    published = Published(ports, read_bundle())
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
    assert accepted == counted["store"]["stored"] == (WARM_UP + groups) * GROUP * BATCH
    readings = groups * GROUP * BATCH
    costs = {"ingest": ingested * 1e6 / readings}
    costs |= {stage: (busy(ports)[stage] - before[stage]) / readings for stage in DECIDING}
    return {**costs, "all": took * 1e6 / readings}


def busy(ports: object) -> dict[str, float]:
    """Microseconds that the stages have been busy so far."""
    counted = ports.meter.total("0001-01-01", "9999-12-31")  # type: ignore[attr-defined]
    return {stage: counted[stage]["busy_us"] for stage in DECIDING}


def main() -> None:
    """Print a table: a row for each number of devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, action="append", help="default: 100, 1,000 and 10,000")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--groups", type=int, default=60, help="of 1,000 readings each")
    asked = parser.parse_args()
    print("microseconds a reading, one core, memory ports")
    print(f"{'devices':>8}" + "".join(f"{name:>12}" for name in ("ingest", *DECIDING, "all")) + "   readings/s")
    for devices in asked.devices or (100, 1_000, 10_000):
        costs = run(devices, asked.shards, asked.groups)
        print(f"{devices:>8}" + "".join(f"{cost:>12.1f}" for cost in costs.values()) + f"{1e6 / costs['all']:>13,.0f}")


if __name__ == "__main__":
    main()
