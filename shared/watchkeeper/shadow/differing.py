"""What stored history would have looked like with another model: openings by day, and those that one alone has."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.class_knowledge import latest_classes
from watchkeeper.knowledge.catalogue import ITSELF
from watchkeeper.series.query import device_history, known_devices
from watchkeeper.shadow.counting import only_of
from watchkeeper.shadow.rescoring import rescore
from watchkeeper.shadow.trial import AT_ONCE, LEAD_MS, READINGS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchkeeper.detection.model import Model
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.packs import Ints
    from watchkeeper.ports import Blobs
    from watchkeeper.series.query import DeviceHistory
    from watchkeeper.shadow.rescoring import Rescored

MOST_NAMED = 1_000  # openings that only one of both models has, of each


class Day(msgspec.Struct, frozen=True):
    """A day (UTC): its readings, and the openings of both models, with those during which the other has none open."""

    day: str
    readings: int
    one: int
    other: int
    only_one: int
    only_other: int


class Alone(msgspec.Struct, frozen=True, order=True):
    """An opening at `ts` (epoch ms) during which the other model has no episode open."""

    ts: int
    tenant: str
    device: str


class Differing(msgspec.Struct, frozen=True):
    """By day, the earliest first; `only_one` and `only_other` name up to 1,000 openings each, the earliest."""

    days: list[Day]
    devices: int
    only_one: list[Alone]
    only_other: list[Alone]


def what_differs(
    blobs: Blobs,
    shards: int,
    bundle: Bundle,
    one: Model | None,
    other: Model | None,
    start: int,
    end: int,
    progress: Callable[[int], None] = lambda _devices: None,
) -> Differing:
    """Every device's readings in [start, end), epoch ms, through both models, and three days before to learn from.

    Nothing is written. A group of devices is in memory at a time; `progress` is told how many are done. StateError:
    something stored is damaged.
    """
    counts: Counter[tuple[str, str]] = Counter()
    alone: dict[str, list[Alone]] = {"one": [], "other": []}
    devices, classes = 0, latest_classes(blobs)
    for group in _groups(blobs, shards, bundle, start, end):
        judged = zip(group, *(rescore(group, bundle, model, classes) for model in (one, other)), strict=True)
        for history, first, second in judged:
            _count(history, {"one": first, "other": second}, start, counts, alone)
        devices += len(group)
        progress(devices)
    names = ("readings", "one", "other", "only one", "only other")
    days = [Day(day, *(counts[day, name] for name in names)) for day in sorted({day for day, _ in counts})]
    return Differing(days, devices, *(sorted(alone[name])[:MOST_NAMED] for name in ("one", "other")))


def _groups(blobs: Blobs, shards: int, bundle: Bundle, start: int, end: int) -> Iterator[list[DeviceHistory]]:
    group: list[DeviceHistory] = []
    for shard in range(shards):
        for known in known_devices(blobs, shard):
            if bundle.catalogue.profile(known.device).class_name == ITSELF or known.last_seen < start:
                continue
            history = device_history(blobs, shard, known.tenant, known.device, start - LEAD_MS, end)
            if history is None or history.ts[-1] < start:
                continue
            group.append(history)
            if len(group) == AT_ONCE or sum(len(each.ts) for each in group) >= READINGS_AT_ONCE:
                yield group
                group = []
    if group:
        yield group


def _count(
    history: DeviceHistory,
    sides: dict[str, Rescored],
    start: int,
    counts: Counter[tuple[str, str]],
    alone: dict[str, list[Alone]],
) -> None:
    _by_day(counts, "readings", history.ts[history.ts >= start])
    for name, against in (("one", "other"), ("other", "one")):
        first, only = only_of(sides[name].anomalous, sides[against].anomalous)
        within = history.ts[first] >= start
        _by_day(counts, name, history.ts[first[within]])
        _by_day(counts, f"only {name}", history.ts[first[within & only]])
        found = [Alone(ts, history.tenant, history.device) for ts in history.ts[first[within & only]].tolist()]
        alone[name] = sorted(alone[name] + found)[:MOST_NAMED]


def _by_day(counts: Counter[tuple[str, str]], name: str, ts: Ints) -> None:
    days, numbers = np.unique(ts // 86_400_000, return_counts=True)
    for day, number in zip(days.tolist(), numbers.tolist(), strict=True):
        counts[str(datetime.fromtimestamp(day * 86_400, UTC).date()), name] += number
