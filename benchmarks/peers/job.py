"""The job that each peer does, as one would write it for a batch framework: with NumPy over a batch, and SQLite.

Bodies of readings are decoded, repetitions left out, impossible values removed, rules of the device's class applied,
each reading is scored by Watchkeeper's own scorer, and all are stored in one transaction a batch. Limits and rules come
from Watchkeeper's knowledge base. Only the scorer's state is kept, in memory: a crash loses it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from watchkeeper.checking.breach import at_rest, follow
from watchkeeper.checking.state import Breach
from watchkeeper.detection.scorer import score
from watchkeeper.detection.state import DetectorState
from watchkeeper.packs import Bools, Floats, Ints
from watchkeeper_local.knowledge import read_bundle

METRICS = ("flow", "discharge_pressure", "vibration", "motor_current")
LEVELS = ("above", "below", "outside")  # other kinds of rules the peers are let off
SEEN_AT_MOST = 65_536
TABLE = """CREATE TABLE readings (
    device TEXT, ts INTEGER, flow REAL, discharge_pressure REAL, vibration REAL, motor_current REAL,
    score REAL, anomalous INTEGER, rules TEXT, line TEXT, firmware TEXT, PRIMARY KEY (device, ts)) WITHOUT ROWID"""
INSERT = "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Values(msgspec.Struct):
    flow: float | None = None
    discharge_pressure: float | None = None
    vibration: float | None = None
    motor_current: float | None = None


class Reading(msgspec.Struct):
    device: str
    ts: int
    values: Values
    site: str = ""
    tags: dict[str, str] = {}


class Done(msgspec.Struct):
    """What came of it, and the processor's and the wall's seconds from the first batch to the last."""

    stored: int = 0
    deduplicated: int = 0
    anomalies: int = 0
    batches: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0


class Job:
    """Takes batches of bodies. Everything is stored when `take` returns."""

    def __init__(self, path: str, expected: int) -> None:
        self.done, self.expected = Done(), expected
        self._decoder = msgspec.json.Decoder(list[Reading])
        self._seen: dict[tuple[str, int], None] = {}
        self._scorer = DetectorState()
        self._breaches: dict[tuple[str, str], Breach] = {}
        self._bundle = read_bundle()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(TABLE)
        self._started: tuple[float, float] | None = None

    @property
    def finished(self) -> bool:
        """Has everything that was expected come?"""
        return self.done.stored + self.done.deduplicated >= self.expected

    def take(self, bodies: Sequence[bytes]) -> None:
        """A batch of bodies, each a JSON list of readings."""
        self._started = self._started or (cpu_used(), time.perf_counter())
        readings = self._once([reading for body in bodies for reading in self._decoder.decode(body)])
        if readings:
            self._work_on(readings)
        self.done.batches += 1
        cpu, wall = self._started
        self.done.cpu_s, self.done.wall_s = cpu_used() - cpu, time.perf_counter() - wall

    def _work_on(self, readings: list[Reading]) -> None:
        names = list(dict.fromkeys(reading.device for reading in readings))
        number = {name: place for place, name in enumerate(names)}
        device = np.array([number[reading.device] for reading in readings], np.int64)
        ts = np.array([reading.ts for reading in readings], np.int64)
        rows = [(v.flow, v.discharge_pressure, v.vibration, v.motor_current) for v in (r.values for r in readings)]
        values = np.array(rows, np.float64).reshape(len(readings), len(METRICS))
        self._leave_out_impossible(names, device, values)
        fired = self._check_rules(names, device, ts, values)
        scored = score(self._scorer, names, device, ts, METRICS, values)
        self.done.anomalies += sum(edge.phase == "open" for edge in scored.edges)
        self._store(readings, values, scored.score, scored.anomalous, fired)

    def _once(self, readings: list[Reading]) -> list[Reading]:
        kept = []
        for reading in readings:
            key = reading.device, reading.ts
            if key not in self._seen:
                self._seen[key] = None
                kept.append(reading)
        self.done.deduplicated += len(readings) - len(kept)
        while len(self._seen) > SEEN_AT_MOST:
            del self._seen[next(iter(self._seen))]
        return kept

    def _leave_out_impossible(self, names: list[str], device: Ints, values: Floats) -> None:
        for column, metric in enumerate(METRICS):
            specs = [self._bundle.catalogue.profile(name).metrics[metric] for name in names]
            low = np.array([spec.low for spec in specs])[device]
            high = np.array([spec.high for spec in specs])[device]
            wrong = (values[:, column] < low) | (values[:, column] > high)
            wrong |= np.isin(values[:, column], specs[0].missing)
            values[wrong, column] = np.nan

    def _check_rules(self, names: list[str], device: Ints, ts: Ints, values: Floats) -> dict[int, list[str]]:
        """The ids of the rules that are broken, by reading."""
        fired: dict[int, list[str]] = {}
        by_class: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            by_class.setdefault(self._bundle.catalogue.profile(name).class_name, []).append(place)
        for class_name, members in by_class.items():
            of_class = np.isin(device, members) if len(by_class) > 1 else np.ones(len(device), bool)
            for rule in self._bundle.rules.for_class(class_name):
                if rule.metric not in METRICS or rule.kind not in LEVELS:
                    continue
                column = values[:, METRICS.index(rule.metric)]
                fires: Bools = of_class & ((column < rule.fire_low) | (column > rule.fire_high))
                clears = (column >= rule.clear_low) & (column <= rule.clear_high)
                active = {number for number, name in enumerate(names) if (name, rule.id) in self._breaches}
                active |= set(np.unique(device[fires]).tolist())
                for row in np.flatnonzero(np.isin(device, list(active)) & ~np.isnan(column)).tolist() if active else ():
                    key = names[device[row]], rule.id
                    breach = self._breaches.setdefault(key, Breach())
                    edge = follow(breach, int(ts[row]), fires=fires[row], clears=clears[row], hold_ms=rule.for_ms)
                    self.done.anomalies += edge == "open"
                    if breach.opened:
                        fired.setdefault(row, []).append(rule.id)
                    if edge == "clear" or at_rest(breach):
                        del self._breaches[key]
        return fired

    def _store(
        self, readings: list[Reading], values: Floats, scores: Floats, anomalous: Bools, fired: dict[int, list[str]]
    ) -> None:
        columns = zip(readings, values.tolist(), scores.tolist(), anomalous.tolist(), strict=True)
        rows = [
            (r.device, r.ts, *v, s, a, ",".join(fired.get(place, ())), r.tags.get("line"), r.tags.get("firmware"))
            for place, (r, v, s, a) in enumerate(columns)
        ]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(INSERT, rows)
        self._database.execute("COMMIT")
        self.done.stored += len(rows)


def cpu_used() -> float:
    """Seconds that all threads of this process have had, without those of the Kafka client that only fetch.

    They ask the broker used here again and again, since it answers at once where others wait until there is something:
    half a core, which is not the peers' doing. What fetching really takes is a hundredth of the job.
    """
    tick = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for thread in Path("/proc/self/task").iterdir():
        name, _, rest = (thread / "stat").read_text().rpartition(")")
        if "(rdk:" not in name:
            user, system = rest.split()[11:13]
            total += (int(user) + int(system)) / tick
    return total
