"""What the rules of a bundle would have found in the readings that are stored: hour by hour, in bounded memory."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.reprocessing.replay import Replay
from watchkeeper.reprocessing.stretches import stretches
from watchkeeper.reprocessing.work import hours
from watchkeeper.trial import Fired, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.knowledge.rules import Rule
    from watchkeeper.packs import Pack
    from watchkeeper.ports import Blobs
    from watchkeeper.records import Anomaly


class StoredTrial(NamedTuple):
    """What was found, and up to when (epoch ms) the readings were looked at; all of them, if that is their end."""

    trial: Trial
    until: int


def try_rules_on_stored(
    bundle: Bundle,
    blobs: Blobs,
    shards: int,
    start: int,
    end: int,
    *,
    tenant: str = "",
    enough: Callable[[int], bool] = lambda _readings: False,
) -> StoredTrial:
    """Take the readings stored in [start, end), epoch ms, through `rule_check` with this bundle.

    `tenant`: only its readings. `enough` is asked after each hour of a shard with the readings so far, and ends it.
    Nothing that is stored changes. StateError: something stored is damaged.
    """
    found = _Found(bundle)
    replays = {shard: Replay(shard, shards, bundle, None, "rule_check", until="rule_check") for shard in range(shards)}
    todo = ((low, high, shard) for shard in replays for low, high in hours(blobs, shard, start, end, 0))
    for low, of_hour in itertools.groupby(sorted(todo), key=lambda each: each[0]):
        for _, high, shard in of_hour:
            for stretch in stretches(blobs, shard, low, high, "rule_check", bundle, tenant=tenant):
                found.take(*replays[shard].take(stretch.given))
            if enough(found.counts["readings"]):
                return StoredTrial(found.trial(), low)
    return StoredTrial(found.trial(), end)


@dataclasses.dataclass(slots=True)
class _Episode:
    """An episode in the making; see `trial.Fired`."""

    opened: int
    cleared: int | None = None
    readings: int = 0
    worst: float | None = None
    beyond: float = -np.inf


@dataclasses.dataclass(slots=True)
class _Found:
    """What has been found so far; of the readings only those in an episode are looked at singly."""

    bundle: Bundle
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    classes: dict[str, str] = dataclasses.field(default_factory=dict)
    silent: list[Fired] = dataclasses.field(default_factory=list)
    episodes: defaultdict[tuple[str, str, str], list[_Episode]] = dataclasses.field(
        default_factory=lambda: defaultdict(list)
    )

    def take(self, packs: Sequence[Pack], edges: Sequence[Anomaly]) -> None:
        for edge in edges:
            self._edge(edge)
        for pack in packs:
            self.counts["readings"] += len(pack)
            for device in {int(at) for table in pack.tables for at in np.unique(table.device)}:
                name = pack.devices[device].device
                self.classes.setdefault(name, self.bundle.catalogue.profile(name).class_name)
            self._rows(pack)

    def trial(self) -> Trial:
        fired = [
            Fired(rule_id, device, each.opened, each.cleared, each.readings, each.worst)
            for (_, device, rule_id), episodes in self.episodes.items()
            for each in episodes
        ]
        in_order = sorted([*fired, *self.silent], key=lambda it: (it.opened, it.rule, it.device))
        return Trial(in_order, self.classes, self.counts)

    def _edge(self, edge: Anomaly) -> None:
        source, _, rule_id = edge.detector.partition(":")
        rule = self.bundle.rules.by_id(rule_id)
        if rule is None:
            return
        episodes = self.episodes[edge.tenant, edge.device, rule_id]
        if source == "silence":
            self.silent.append(Fired(rule_id, edge.device, edge.since + rule.no_data_ms, edge.ts, 0, None))
        elif edge.phase == "open":
            episodes.append(_Episode(edge.ts))
        elif edge.phase == "clear" and episodes:
            episodes[-1].cleared = edge.ts

    def _rows(self, pack: Pack) -> None:
        for table in pack.tables:
            for row, ids in table.rules.items():
                who, ts = pack.devices[table.device[row]], int(table.ts[row])
                for rule_id in ids:
                    episodes = self.episodes.get((who.tenant, who.device, rule_id), ())
                    episode = next((each for each in reversed(episodes) if each.opened <= ts), None)
                    rule = self.bundle.rules.by_id(rule_id)
                    if episode and rule:
                        value = _value(rule, table.metrics, table.values[:, row].tolist())
                        _count(episode, rule, value)


def _value(rule: Rule, metrics: tuple[str, ...], values: Sequence[float]) -> float | None:
    return values[metrics.index(rule.metric)] if rule.metric in metrics else None


def _count(episode: _Episode, rule: Rule, value: float | None) -> None:
    episode.readings += 1
    if value is not None:
        beyond = max(rule.fire_low - value, value - rule.fire_high)
        if beyond > episode.beyond:
            episode.worst, episode.beyond = value, beyond
