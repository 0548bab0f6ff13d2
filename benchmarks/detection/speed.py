"""What scoring costs: batches with everything around them, and one reading alone."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from watchkeeper.detection.scorer import score
from watchkeeper.detection.state import DetectorState
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Device

METRICS = tuple(f"m{number}" for number in range(8))
DEVICES, TURNS, BATCHES, WARM = 200, 5, 60, 20
NOW = 1_790_000_000_000


def batches() -> float:
    """Microseconds a reading in batches of 1,000, five of each of 200 devices: pack and state, decoded and encoded."""
    chance = np.random.default_rng(0)
    who = [Device("default", f"press-{number:03d}") for number in range(DEVICES)]
    names = [f"{each.tenant}\0{each.device}" for each in who]
    device = np.tile(np.arange(DEVICES), TURNS)
    state, took = DetectorState.empty().encode(), []
    for number in range(BATCHES):
        ts = NOW + 1000 * (number * TURNS + np.repeat(np.arange(TURNS), DEVICES))
        values = chance.normal(50.0, 1.0, (len(METRICS), device.size)).round(3)
        table = Table.build(METRICS, device, ts, ts, values, tags=np.zeros(device.size, np.int64))
        message = Pack(0, who, [table], tagsets=[{}]).encode()
        started = time.process_time()
        pack, held = Pack.decode(message), DetectorState.decode(state)
        (table,) = pack.tables
        got = score(held, names, table.device, table.ts, table.metrics, table.values.T)
        pack.with_tables([dataclasses.replace(table, score=got.score)]).encode()
        state = held.encode()
        took.append(time.process_time() - started)
    return float(np.median(took[WARM:])) * 1e6 / device.size


def alone() -> float:
    """Microseconds of a single reading of eight metrics whose device is known."""
    chance, state, took = np.random.default_rng(0), DetectorState.empty(), []
    for number in range(1500):
        x = chance.normal(50.0, 1.0, (1, len(METRICS)))
        started = time.process_time()
        score(state, ["d"], np.zeros(1, np.int64), np.array([NOW + 1000 * number]), METRICS, x)
        took.append(time.process_time() - started)
    return float(np.median(took[500:])) * 1e6


def noise_alerts() -> tuple[int, float]:
    """Openings on healthy noise heard every five minutes, and its device weeks: seeds that nothing was chosen by."""
    from tests.unit.detection.series_of import noise, times

    kinds, n, each = ("gaussian", "heavy-tailed", "seasonal", "drifting", "correlated"), 10_000, 8
    opened = 0
    for kind in kinds:
        x = np.concatenate([noise(kind, n, seed) for seed in range(300, 300 + each)])[:, None]
        ts, device = np.tile(times(n, 300_000), each), np.repeat(np.arange(each), n)
        got = score(DetectorState.empty(), [str(number) for number in range(each)], device, ts, ["m"], x)
        opened += sum(edge.phase == "open" for edge in got.edges)
    return opened, len(kinds) * each * n * 300 / (7 * 86_400)


def sensors_alerts() -> tuple[int, int]:
    """Openings in hours of eight healthy sensors heard every second, and the hours."""
    from tests.unit.detection.series_of import SENSORS, pump, times

    hours = 10
    x = np.concatenate([pump(3600, seed) for seed in range(300, 300 + hours)])
    ts, device = np.tile(times(3600), hours), np.repeat(np.arange(hours), 3600)
    got = score(DetectorState.empty(), [str(number) for number in range(hours)], device, ts, SENSORS, x)
    return sum(edge.phase == "open" for edge in got.edges), hours
