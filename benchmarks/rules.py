"""What 100 rules of mixed kinds cost in rule_check: its real runner over memory ports, JSON in and out included.

Readings of four metrics of 1,000 devices in packs of 100, those of a shard taken together, on one core.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np

from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Device
from watchkeeper.run import Runner
from watchkeeper.topology import DATA_PROCESSING_OUTPUT
from watchkeeper_local.knowledge import read_files

NOW = 1_790_000_000_000
METRICS = ("pressure", "temperature", "vibration", "current")
LEVELS = (
    "metric: {0}, above: 95",
    "metric: {0}, below: -95, for: 10s",
    "metric: {0}, outside: [-96, 96], clear: [-90, 90]",
    "metric: {0}, above: 97, clear: 80, for: 30s",
)
MIXED = (
    "metric: {0}, above: 95",
    "metric: {0}, outside: [-96, 96], for: 10s",
    "metric: {0}, equals: 77",
    "metric: {0}, rising: 190 per 30s",
    "metric: {0}, flatline: 1m, tolerance: 0.01",
    "when: {0} > {1} + 99",
    "when: \"{0} * 2 > 180 and tag.line like 'B*'\"",
    "metric: {0}, above: 94, times: 3, within: 5m",
    "sequence: [{0} > 95, {1} > 95], within: 20s",
    "metric: {0}, above: 93, while: {1} < -93",
)


def bundle(kinds: tuple[str, ...], number: int) -> Bundle:
    """The shipped knowledge base with this many rules for presses instead of its own."""
    files = {"devices/a-press.yaml": "class: press\nmatch: [press-*]\ninterval: 1s\n"}
    files |= {name: text for name, text in read_files("").items() if not name.startswith("rules/")}
    rules = []
    for count in range(number):
        metrics = METRICS[count // len(kinds) % 4], METRICS[(count // len(kinds) + 1) % 4]
        kind = kinds[count % len(kinds)].format(*metrics)
        rules.append(f"  - {{id: r{count}, {kind}, severity: info, summary: s, runbook: unknown-anomaly.md}}\n")
    listed = "\n" + "".join(rules) if rules else " []\n"
    return Bundle.from_files(files | {"rules/press.yaml": f"applies_to: press\nrules:{listed}"})


def packs(devices: int, second: int, spread: float, chance: np.random.Generator) -> list[Pack]:
    """A reading of each device, by shard."""
    names = [f"press-{number:05d}" for number in range(devices)]
    by_shard: dict[int, list[str]] = {}
    for name in names:
        by_shard.setdefault(shard_of("default", name, 16), []).append(name)
    made = []
    for shard, own in by_shard.items():
        ts = np.full(len(own), NOW + second * 1000)
        values = chance.normal(0, spread, (4, len(own))).clip(-100, 100)
        table = Table.build(METRICS, np.arange(len(own)), ts, ts, values, tags=np.zeros(len(own), np.int64))
        made.append(Pack(shard, [Device("default", name) for name in own], [table], tagsets=[{"line": "A1"}]))
    return made


def run(kinds: tuple[str, ...], number: int, *, devices: int, seconds: int, spread: float) -> tuple[float, float]:
    """Microseconds a reading, and how many episodes opened per 1,000 readings."""
    ports, chance = memory_ports(1), np.random.default_rng(1)
    runner = Runner(STAGES["rule_check"], DATA_PROCESSING_OUTPUT, ports, Published(ports, bundle(kinds, number)), 16,
                    lambda: NOW)  # fmt: skip
    after, took, counts = -1, 0.0, Counter[str]()
    for second in range(0, seconds, 10):
        made = [pack for more in range(10) for pack in packs(devices, second + more, spread, chance)]
        ports.stream.append(DATA_PROCESSING_OUTPUT.name, [Message(pack.shard, pack.encode()) for pack in made])
        messages = ports.stream.read(DATA_PROCESSING_OUTPUT.name, 0, after, 10_000)
        after = messages[-1].offset
        started = time.perf_counter()
        done = runner.take(0, messages)
        if second:
            took += time.perf_counter() - started
            counts += done
    readings = devices * (seconds - 10)
    return took * 1e6 / readings, counts["anomalies"] * 1000 / readings


def main() -> None:
    """Print a table: a row for each set of rules and how often something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--levels-only", action="store_true", help="for comparison with releases without other kinds")
    asked = parser.parse_args()
    print(f"{'rules':<24}{'us a reading':>14}{'episodes per 1,000 readings':>30}")
    sets = {"none": ((), 0), "100 of levels": (LEVELS, 100), "100 of mixed kinds": (MIXED, 100)}
    for name, (kinds, number) in sets.items():
        for spread in (20.0, 30.0) if number else (20.0,):
            if kinds is not MIXED or not asked.levels_only:
                cost, opened = run(kinds, number, devices=asked.devices, seconds=asked.seconds, spread=spread)
                print(f"{name:<24}{cost:>14.2f}{opened:>30.1f}")


if __name__ == "__main__":
    main()
