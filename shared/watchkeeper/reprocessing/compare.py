"""What differs between the readings and episodes of a span as they are and as a reprocessing has made them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.records import Episode, Flag
from watchkeeper.reprocessing.matching import in_order
from watchkeeper.reprocessing.plan import copy_of
from watchkeeper.reprocessing.work import shadow_episodes
from watchkeeper.series.query import readings
from watchkeeper.series.reader import reading
from watchkeeper.topology import EPISODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.packs import Bools
    from watchkeeper.ports import Blobs, Ports, Tables
    from watchkeeper.reprocessing.plan import Plan
    from watchkeeper.series.query import Rows
    from watchkeeper.series.section import DeviceKey

DAY_MS = 86_400_000
SCORE_STEP = 0.01  # scores that differ by less are the same to people
_DETECTORS = {"clean": ("gap", "rule:", "model"), "rule_check": ("rule:", "model"), "ml_score": ("model",)}
"""What a replay from a stage on finds anew. Silence is a matter of the clock on the wall, and not replayed."""


class Difference(msgspec.Struct, frozen=True):
    """Of a device: how many readings or episodes there are of something, before and after; which came and went."""

    tenant: str
    device: str
    what: str
    before: int
    after: int
    came: int
    went: int


def differences(ports: Ports, plan: Plan) -> Iterator[Difference]:
    """All that differ, device by device; a day of a device is in memory at a time.

    Kinds: `readings: …` for each verdict (a rule, the model, a flag) and `values`, `scores`; `episodes: …` for each
    detector that was replayed. StateError: something stored is damaged.
    """
    for shard in sorted(plan.done):
        if not plan.done[shard].readings:
            continue
        before, after = copy_of(ports.blobs, plan, shard, "before"), copy_of(ports.blobs, plan, shard, "after")
        episodes = _by_device(shadow_episodes(ports.blobs, plan, shard))
        keys = reading(before, shard, lambda reader: [(known.tenant, known.device) for known in reader.state.devices()])
        live = _live(ports.tables, plan, {tenant for tenant, _ in keys})
        for key in keys:
            yield from _readings(before, after, shard, key, plan)
            yield from _episodes(key, live.get(key, []), episodes.get(key, []), plan)


def _readings(before: Blobs, after: Blobs, shard: int, key: DeviceKey, plan: Plan) -> Iterator[Difference]:
    old, new, came, went = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for low in range(plan.start, plan.end, DAY_MS):
        span = low, min(low + DAY_MS, plan.end)
        was, is_ = (in_order(readings(copy, shard, *key, *span)) for copy in (before, after))
        marks_before, marks_after = _marks(was), _marks(is_)
        for name in {*marks_before, *marks_after}:
            a, b = (marks.get(name, np.zeros(len(was.ts), np.bool_)) for marks in (marks_before, marks_after))
            old[name] += int(a.sum())
            new[name] += int(b.sum())
            came[name] += int((b & ~a).sum())
            went[name] += int((a & ~b).sum())
        for name, changed in (("values", _other_values(was, is_)), ("scores", _other_scores(was, is_))):
            old[name] += len(was.ts)
            new[name] += len(is_.ts)
            came[name] += int(changed.sum())
            went[name] += int(changed.sum())
    for name in sorted({*came, *went}):
        if came[name] or went[name]:
            yield Difference(*key, f"readings: {name}", old[name], new[name], came[name], went[name])


def _marks(rows: Rows) -> dict[str, Bools]:
    """By verdict, which rows have it."""
    marks: dict[str, Bools] = {}
    for flag in Flag:
        name = "model" if flag is Flag.ANOMALOUS else (flag.name or "").lower()
        marks[name] = (rows.flags & flag) != 0
    for row, ids in rows.rules.items():
        for rule_id in ids:
            marks.setdefault(f"rule:{rule_id}", np.zeros(len(rows.ts), np.bool_))[row] = True
    return marks


def _other_values(was: Rows, is_: Rows) -> Bools:
    changed = np.zeros(len(was.ts), np.bool_)
    absent = np.full(len(was.ts), np.nan)
    old, new = (dict(zip(rows.metrics, rows.values, strict=True)) for rows in (was, is_))
    for name in {*old, *new}:
        a, b = old.get(name, absent), new.get(name, absent)
        changed |= (a != b) & ~(np.isnan(a) & np.isnan(b))
    return changed


def _other_scores(was: Rows, is_: Rows) -> Bools:
    one_only = np.isnan(was.score) != np.isnan(is_.score)
    changed: Bools = one_only | (np.abs(was.score - is_.score) >= SCORE_STEP)
    return changed


def _episodes(key: DeviceKey, live: list[Episode], made: list[Episode], plan: Plan) -> Iterator[Difference]:
    wanted = _DETECTORS[plan.stage]
    old, new = (
        {each.id: each.detector for each in found if each.detector.startswith(wanted)} for found in (live, made)
    )
    for detector in sorted({*old.values(), *new.values()}):
        a, b = ({name for name, of in found.items() if of == detector} for found in (old, new))
        if a != b:
            yield Difference(*key, f"episodes: {detector}", len(a), len(b), len(b - a), len(a - b))


def _live(tables: Tables, plan: Plan, tenants: set[str]) -> dict[DeviceKey, list[Episode]]:
    """The episodes that have opened in the span, as people were told of them."""
    found: list[Episode] = []
    for tenant in tenants:
        low, high = f"{plan.start:013d}", f"{plan.end:013d}"
        while rows := tables.query(EPISODES.name, tenant, low, high):
            found += [msgspec.json.decode(row.value, type=Episode) for row in rows]
            low = f"{rows[-1].key.sort}\0"
    return _by_device(found)


def _by_device(episodes: list[Episode]) -> dict[DeviceKey, list[Episode]]:
    by_device: defaultdict[DeviceKey, list[Episode]] = defaultdict(list)
    for each in episodes:
        by_device[each.tenant, each.device].append(each)
    return by_device
