"""What the catalogue says of a shard's devices and of the metrics that come together, as arrays made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.ids import device_hash
from watchkeeper.knowledge.catalogue import GENERIC, Catalogue, Clock, Fill, MetricSpec
from watchkeeper.packs import Bools, Floats, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from watchkeeper.knowledge.catalogue import DeviceProfile
    from watchkeeper.knowledge.derived import Derived

LATE_INTERVALS, LATE_LEAST_MS = 10, 60_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BY_THE_HOUR_MS = 60_000  # quality is counted by the hour of what reports at least so often, else by the day


class Plan(NamedTuple):
    """What is expected of m metrics that come together, by class: C of them.

    `low` and `high` (C, m), `missing` (C, m, s) with NaN where there are fewer; `ranged` (C): whether any of these says
    anything. `fill` and `stuck` are by place of the metric: (linear (C), longest ms (C; 0: none, −1: as the device's
    gap)) and ms (C; 0: never). `derived`: the formulas of each class whose metrics are all there.
    """

    low: Floats
    high: Floats
    missing: Floats
    ranged: Bools
    fill: dict[int, tuple[Bools, Ints]]
    stuck: dict[int, Ints]
    derived: tuple[tuple[Derived, ...], ...]


class Facts:
    """Facts of the first devices of a shard, as columns; `learn` goes on where it stopped."""

    def __init__(self, catalogue: Catalogue) -> None:
        """None yet; `catalogue` is the one they are of."""
        self.catalogue = catalogue
        self.names = catalogue.class_names
        self.classes = {name: number for number, name in enumerate(self.names)}
        self.profiles: list[DeviceProfile] = []
        self.class_of, self.interval, self.late, self.gap, self.span = (np.empty(0, np.int64) for _ in range(5))
        self.corrected, self.converted = (np.empty(0, np.bool_) for _ in range(2))
        self.hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._plans: dict[tuple[str, ...], Plan] = {}

    def learn(self, names: Sequence[str]) -> None:
        """Take in the devices after those that are known; `names` are of all, as tenant, NUL, device."""
        more = names[len(self.profiles) :]
        found = [self.catalogue.profile(name.partition("\0")[2]) for name in more]
        self.profiles += found
        generic = np.array([p.class_name == GENERIC for p in found], np.bool_)
        interval = np.array([p.interval_ms for p in found], np.int64)
        columns = {
            "class_of": np.array([self.classes[p.class_name] for p in found], np.int64),
            "interval": np.where(generic, 0, interval),
            "late": np.maximum(LATE_INTERVALS * interval, LATE_LEAST_MS),
            "gap": np.array([p.gap_ms for p in found], np.int64),
            "span": np.where(interval <= BY_THE_HOUR_MS, HOUR_MS, DAY_MS),
            "corrected": np.array([p.clock is Clock.CORRECT for p in found], np.bool_),
            "converted": np.array([bool(p.conversions) for p in found], np.bool_),
            "hashes": np.array([device_hash(*name.split("\0", 1)) for name in more], np.uint64),
        }
        for name, column in columns.items():
            setattr(self, name, np.concatenate([getattr(self, name), column]))

    def plan(self, metrics: tuple[str, ...]) -> Plan:
        """What is expected of these metrics."""
        found = self._plans.get(metrics)
        if found is None:
            found = self._plans[metrics] = self._make_plan(metrics)
        return found

    def _make_plan(self, metrics: tuple[str, ...]) -> Plan:
        classes = [self.catalogue.device_class(name) for name in self.classes]
        unknown = MetricSpec("")
        specs = [[each.metrics.get(metric, unknown) if each else unknown for metric in metrics] for each in classes]
        low, high = (np.array([[getattr(s, end) for s in row] for row in specs]) for end in ("low", "high"))
        most = max((len(spec.missing) for row in specs for spec in row), default=0)
        missing = np.full((len(classes), len(metrics), most), np.nan)
        for c, row in enumerate(specs):
            for j, spec in enumerate(row):
                missing[c, j, : len(spec.missing)] = spec.missing
        ranged = (np.isfinite(low) | np.isfinite(high)).any(axis=1) | ~np.isnan(missing).all(axis=(1, 2))
        fill, stuck = {}, {}
        for j in range(len(metrics)):
            kinds = [row[j].fill for row in specs]
            if any(kind is not Fill.NONE for kind in kinds):
                limits = [0 if s.fill is Fill.NONE else s.fill_ms or -1 for s in (row[j] for row in specs)]
                fill[j] = np.array([kind is Fill.LINEAR for kind in kinds]), np.array(limits, np.int64)
            after = np.array([row[j].stuck_ms for row in specs], np.int64)
            if after.any():
                stuck[j] = after
        derived = tuple(_computable(each.derived if each else (), metrics) for each in classes)
        return Plan(low, high, missing, ranged, fill, stuck, derived)


def _computable(derived: Sequence[Derived], metrics: Sequence[str]) -> tuple[Derived, ...]:
    there = set(metrics)
    found = []
    for each in derived:
        if each.name not in there and there.issuperset(each.expression.metrics):
            there.add(each.name)
            found.append(each)
    return tuple(found)
