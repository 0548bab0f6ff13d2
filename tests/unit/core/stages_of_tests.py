"""Small stages for the core's tests: nothing of the real pipeline, so that only the core is tried."""

from __future__ import annotations

import dataclasses
from collections import Counter

import msgspec

from watchkeeper.codec import StructCodec
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import Outcome
from watchkeeper.packs import Pack, Table
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.records import Device
from watchkeeper.run import Runner
from watchkeeper.topology import RULE_CHECK_OUTPUT, Stage

NOW = 1_772_352_000_000
SHARDS = 4


class Tally(msgspec.Struct, array_like=True):
    """A state that only counts."""

    v: int = 1
    readings: int = 0


TALLY = StructCodec(Tally, Tally)


def pack(*values: float, shard: int = 0, device: str = "pump-1", ts: int = NOW) -> Pack:
    """Readings of one metric of one device, a second apart."""
    n = len(values)
    times = [ts + 1000 * i for i in range(n)]
    return Pack(shard, [Device("default", device)], [Table.build(("flow",), [0] * n, times, [ts] * n, [list(values)])])


def tally(batch, ctx):
    """Count the readings."""
    for item in batch:
        ctx.states[item.record.shard].readings += len(item.record)
    return Outcome(counts=Counter(taken=sum(len(item.record) for item in batch)))


def stage(take=tally, **more) -> Stage:
    """A stage on RULE_CHECK_OUTPUT with a tally for a state."""
    return Stage("tally", **({"on": (RULE_CHECK_OUTPUT,), "take": take, "state": "shard", "codec": TALLY} | more))


@dataclasses.dataclass
class Bench:
    """A runner over memory ports, or over those given."""

    stage: Stage
    ports: object = dataclasses.field(default_factory=lambda: memory_ports(1))
    now: int = NOW

    def __post_init__(self):
        self.published = Published(self.ports, Bundle.from_files({}))
        self.topic = self.stage.topics[0] if self.stage.topics else None
        self.runner = Runner(self.stage, self.topic, self.ports, self.published, SHARDS, lambda: self.now)
        self.acks = 0

    def send(self, *records, shard=0):
        """Append records, or bytes, to the stage's topic."""
        messages = [Message(shard, r if isinstance(r, bytes) else _encode(r)) for r in records]
        self.ports.stream.append(self.topic.name, messages)

    def read(self, topic=None, after=-1):
        """The messages of a topic's only partition."""
        return self.ports.stream.read((topic or self.topic).name, 0, after, 999)

    def take(self, messages=None):
        """All messages through the stage."""
        return self.runner.take(0, self.read() if messages is None else messages, self.ack)

    def ack(self):
        self.acks += 1

    def state(self, shard=0):
        """The stored state of a shard, as a new worker would read it."""
        return Bench(self.stage, self.ports).runner.states.load([shard])[shard].state


def _encode(record):
    return record.encode() if isinstance(record, Pack) else msgspec.json.encode(record)
