"""A pipeline in memory that has taken some hours of readings, and everything needed to reprocess them."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from tests.unit.stages.driving import shipped
from watchkeeper.bundles import publish_bundle
from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.packs import Pack, Table
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Device
from watchkeeper.reprocessing.plan import Plan, new_plan, plan_id
from watchkeeper.reprocessing.work import Work
from watchkeeper.series.span import stored_span
from watchkeeper.topology import IOT_DATA_INGESTION
from watchkeeper.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.ports import Blobs, Ports

T0 = 1_795_000_000_000 // 3_600_000 * 3_600_000
HOUR, MINUTE, SECOND = 3_600_000, 60_000, 1000
SHARDS = 4
RULE = """applies_to: pump
rules:
  - id: pump.flow-high
    metric: flow
    above: {above}
    clear: {clear}
    for: 0s
    severity: warning
    summary: Too much flow
    runbook: unknown-anomaly.md
"""


KEPT = ("devices/generic.yaml", "devices/pump.yaml", "runbooks/unknown-anomaly.md")


@functools.cache
def bundle(above: float = 100.0) -> Bundle:
    """The shipped class of pumps, and that of all others, with one rule: each replay reads it all from its files."""
    files = {name: shipped().files[name] for name in KEPT}
    return Bundle.from_files({**files, "rules/pump.yaml": RULE.format(above=above, clear=above - 1)})


def wave(count: int, seed: int = 1) -> np.ndarray:
    """`count` values between 80 and 120, each told from the others by its decimals."""
    rng = np.random.default_rng(seed)
    return np.round(100 + 20 * np.sin(np.arange(count) / 40) + rng.normal(0, 0.2, count), 3)


@dataclasses.dataclass
class World:
    """Ports, and a worker of the whole pipeline over them; its clock is what it was last told."""

    ports: Ports = dataclasses.field(default_factory=lambda: memory_ports(receivers={"memory": MemoryReceiver()}))
    now: int = T0
    in_force: dataclasses.InitVar[Bundle | None] = None

    def __post_init__(self, in_force: Bundle | None) -> None:
        if in_force is None:
            self.put_in_force(bundle())
        else:  # and published already
            self._begin(in_force)

    @property
    def alerts(self) -> list[object]:
        """What people were sent."""
        receiver = self.ports.receivers["memory"]
        assert isinstance(receiver, MemoryReceiver)
        return receiver.alerts

    def copy(self) -> World:
        """Another one in which the same has happened; what is stored is shared by neither."""
        ports = memory_ports(receivers={"memory": MemoryReceiver()})
        for port in ("stream", "tables", "blobs", "meter"):
            held = {name: value for name, value in vars(getattr(self.ports, port)).items() if name != "_lock"}
            vars(getattr(ports, port)).update(copy.deepcopy(held))
        return World(ports, self.now, self.worker.published.bundle)

    def put_in_force(self, wanted: Bundle) -> None:
        publish_bundle(self.ports.blobs, wanted, now=self.now)
        self._begin(wanted)

    def _begin(self, wanted: Bundle) -> None:
        self.worker = Worker(
            self.ports, Published(self.ports, wanted), shards=SHARDS, clock=lambda: self.now, timers=PIPELINE
        )

    def send(
        self, device: str, start: int, values: Sequence[float] | np.ndarray, step: int = 10 * SECOND, late: int = 1000
    ) -> None:
        """Readings of one device, `step` ms apart, received `late` ms after they were made; and take them."""
        shard = shard_of("default", device, SHARDS)
        for low in range(0, len(values), 300):
            part = np.asarray(values[low : low + 300], np.float64)
            ts = start + step * np.arange(low, low + len(part))
            self.now = max(self.now, int(ts[-1]) + late)
            table = Table.build(("flow", "pressure"), [0] * len(ts), ts, ts + late, [part, part / 50])
            pack = Pack(shard, [Device("default", device, "north")], [table])
            self.ports.stream.append(IOT_DATA_INGESTION.name, [Message(shard, pack.encode())])
            while self.worker.step()["messages"]:
                pass

    def plan(self, start: int, end: int, stage: str = "rule_check", **changes: object) -> Work:
        """A reprocessing with the bundle in force, begun or found."""
        version = self.worker.published.bundle.version
        given = {"bundle": version, "model": "", "lead_in": 0, **changes}
        name = plan_id(start, end, stage, given["bundle"], given["model"], given["lead_in"])
        plan = Plan(id=name, start=start, end=end, stage=stage, shards=SHARDS, created=self.now, **given)
        return Work(self.ports.blobs, new_plan(self.ports.blobs, plan))

    def rows(self) -> list[tuple[object, ...]]:
        return rows_of(self.ports.blobs)


def rows_of(blobs: Blobs, start: int = 0, end: int = 1 << 60) -> list[tuple[object, ...]]:
    """Every stored reading, with its verdicts, in an order of its own."""
    found = []
    for shard in range(SHARDS):
        assembly = stored_span(blobs, shard, start, end)
        for _, section in assembly.sections(by_time=True):
            devices = np.repeat(np.arange(len(section.devices)), section.counts)
            for row in range(len(section.ts)):
                values = {
                    name: value
                    for name, value in zip(section.metrics, section.values[:, row].tolist(), strict=True)
                    if value == value  # noqa: PLR0124 - not NaN
                }
                rules = assembly.rulesets[section.rules[row]] if section.rules[row] >= 0 else ()
                tags = assembly.tagsets[section.tags[row]] if section.tags[row] >= 0 else {}
                score = None if np.isnan(section.score[row]) else float(section.score[row])
                found.append(
                    (
                        section.devices[devices[row]][1], int(section.ts[row]), int(section.received[row]),
                        tuple(sorted(values.items())), int(section.flags[row]), score, rules, tuple(tags.items()),
                    )
                )  # fmt: skip
    return sorted(found, key=repr)
