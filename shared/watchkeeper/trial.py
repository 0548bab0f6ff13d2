"""What the rules of a bundle would have found in recorded readings: by the stages themselves, over ports in memory."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.ids import shard_of
from watchkeeper.intake.assembly import Assembly, Placed
from watchkeeper.knowledge.catalogue import GENERIC
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Anomaly, Device
from watchkeeper.topology import BATCH_DATA_INGESTION, RAG_ERROR_REPORTING, RULE_CHECK_OUTPUT
from watchkeeper.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watchkeeper.intake.sent import SentReading
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.knowledge.rules import Rule
    from watchkeeper.topology import Topic

SHARDS = 16
AT_ONCE = 5_000  # readings between two runs of the stages


class Fired(msgspec.Struct, frozen=True):
    """One episode of a rule. Times are epoch ms; `cleared` None: it was still open at the end of the data.

    `readings` belong to it, and `worst` is the one of their values that is furthest beyond the rule's limits: the
    highest where it must not rise, the lowest where it must not fall. None: the rule is not about one metric.
    """

    rule: str
    device: str
    opened: int
    cleared: int | None
    readings: int
    worst: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """What was found, the class of each device, and what the stages counted (`readings`, `deduplicated`, `dead`)."""

    fired: list[Fired]
    classes: dict[str, str]
    counts: Counter[str]


def as_class(bundle: Bundle, name: str) -> Bundle:
    """The same bundle where every device is of this class, which it has. For trials: its version is not its own."""
    catalogue = bundle.catalogue
    only = tuple(
        msgspec.structs.replace(each, match=("*",) if each.name == name else (), devices={})
        for each in catalogue.classes
        if each.name in {name, GENERIC}
    )
    return msgspec.structs.replace(bundle, catalogue=msgspec.structs.replace(catalogue, classes=only))


def try_rules(bundle: Bundle, readings: Iterable[tuple[Device, int, SentReading]]) -> Trial:
    """Take readings (whose, event time in epoch ms, what) as if each were received when it happened.

    Each device's readings should be in the order of their times, as they were when they came; what is not is late, and
    rules do not look at it. Everything is kept in memory.
    """
    return _Trying(bundle).run(readings)


class _Trying:
    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.ports = memory_ports(1)
        self.now = 0
        self.worker = Worker(
            self.ports,
            Published(self.ports, bundle),
            shards=SHARDS,
            clock=lambda: self.now,
            lanes=(STAGES["clean"], STAGES["rule_check"]),
            timers=(),
        )
        self.counts: Counter[str] = Counter()
        self.heard: dict[Device, int] = {}
        self.classes: dict[str, str] = {}

    def run(self, readings: Iterable[tuple[Device, int, SentReading]]) -> Trial:
        company, held = Assembly(), 0
        for who, ts, sent in readings:
            # A silence is heard when its device speaks again, if that is not taken together with what was before.
            if held >= AT_ONCE or (held and self._ends_silence(who, ts)):
                self._take(company)
                company, held = Assembly(), 0
            received = max(ts, self.heard.get(who, ts))
            self.heard[who] = received
            shard = shard_of(who.tenant, who.device, SHARDS)
            company.add(shard, [Placed(who, sent, sent.tags_as_text(), ts, received, 0)])
            held += 1
            self.counts["readings"] += 1
        self._take(company)
        return Trial(sorted(self._fired(), key=lambda it: (it.opened, it.rule, it.device)), self.classes, self.counts)

    def _ends_silence(self, who: Device, ts: int) -> bool:
        quiet = ts - self.heard.get(who, ts)
        class_name = self.bundle.catalogue.profile(who.device).class_name
        return quiet > 0 and quiet >= self.bundle.rules.group(class_name, who.site, who.device).quiet_ms

    def _take(self, company: Assembly) -> None:
        messages = []
        for pack in company.packs():
            messages.append(Message(pack.shard, pack.encode()))
            self.now = max(self.now, *(int(table.received.max()) for table in pack.tables))
            for who in pack.devices:
                self.classes[who.device] = self.bundle.catalogue.profile(who.device).class_name
        self.ports.stream.append(BATCH_DATA_INGESTION.name, messages)
        while (counts := self.worker.step())["messages"]:
            self.counts.update({name: counts[name] for name in ("deduplicated", "dead")})
        if self.worker.blocked:
            raise StateError("; ".join(self.worker.blocked.values()))

    def _fired(self) -> Iterator[Fired]:
        cleared: dict[str, int] = {}
        opened: list[tuple[Anomaly, Rule]] = []
        for value in self._values(RAG_ERROR_REPORTING):
            edge = msgspec.json.decode(value, type=Anomaly)
            source, _, rule_id = edge.detector.partition(":")
            rule = self.bundle.rules.by_id(rule_id)
            if rule and source == "silence":
                yield Fired(rule.id, edge.device, edge.since + rule.no_data_ms, edge.ts, 0, None)
            elif rule and edge.phase == "open":
                opened.append((edge, rule))
            elif edge.phase == "clear":
                cleared[edge.episode] = edge.ts
        verdicts = self._verdicts()
        for edge, rule in opened:
            end = cleared.get(edge.episode)
            ts, values = verdicts[edge.device, rule.id]
            last = np.inf if end is None else end
            own = values[(ts >= edge.ts) & (ts <= last)]
            yield Fired(rule.id, edge.device, edge.ts, end, len(own), _worst(rule, own))

    def _verdicts(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """By device and rule: times of the readings in an episode of it, and their values (NaN: of no one metric)."""
        found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for value in self._values(RULE_CHECK_OUTPUT):
            pack = Pack.decode(value)
            for table in pack.tables:
                for row, ids in table.rules.items():
                    for rule_id in ids:
                        rule = self.bundle.rules.by_id(rule_id)
                        if rule is None:
                            continue
                        place = table.metrics.index(rule.metric) if rule.metric in table.metrics else None
                        measured = np.nan if place is None else float(table.values[place, row])
                        device = pack.devices[table.device[row]].device
                        found[device, rule_id].append((int(table.ts[row]), measured))
        return {
            key: (np.array([ts for ts, _ in rows]), np.array([value for _, value in rows]))
            for key, rows in found.items()
        }

    def _values(self, topic: Topic) -> Iterator[bytes]:
        stream, after = self.ports.stream, -1
        while messages := stream.read(topic.name, 0, after, 1000):
            after = messages[-1].offset
            yield from (message.value for message in messages)


def _worst(rule: Rule, values: np.ndarray) -> float | None:
    if np.isnan(values).all():
        return None
    if rule.kind in {"rising", "falling"}:
        return float(np.nanmax(values) if rule.kind == "rising" else np.nanmin(values))
    beyond = np.maximum(rule.fire_low - values, values - rule.fire_high)
    return float(values[beyond.argmax()])
