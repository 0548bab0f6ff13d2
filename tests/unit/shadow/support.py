"""A fleet whose readings are stored, with a fault here and there, and models to judge on it."""

from __future__ import annotations

import dataclasses
import functools

import msgspec
import numpy as np

from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.model import Model
from watchkeeper.detection.training import train
from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.model_in_force import Pin, Who, promote_model, put_in_shadow
from watchkeeper.packs import Pack, Table
from watchkeeper.ports import Blobs, Key, Ports
from watchkeeper.records import Device, Episode, Review, Severity
from watchkeeper.reprocessing.copies import Copy
from watchkeeper.shadow.judging import Shadow, Standing, judge
from watchkeeper.topology import EPISODES, REVIEWS

NOW = 1_790_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
SHARDS, DEVICES = 4, 3
BEFORE, AFTER = 210, 50  # readings of a device, one a minute, before and after NOW
FAULT, LASTS = 150, 12  # the reading at which the first device has a fault, and how many it lasts
ENDLESS = 1 << 40
ME = Who("ada", NOW, "because")


def put_in_force(blobs: Blobs, model: Model) -> Pin:
    """Store a model and put it in force, as a person would."""
    put_in_shadow(blobs, model, ME)
    return promote_model(blobs, model.version, ME)


@dataclasses.dataclass
class Fleet:
    """Three devices with two metrics; the first has a fault well before NOW."""

    ports: Ports = dataclasses.field(default_factory=lambda: memory_ports(1))
    bundle: Bundle = dataclasses.field(default_factory=lambda: Bundle.from_files({}))
    shadow_ms: int = 30 * MINUTE
    shards: int = SHARDS
    learnt: int = NOW  # between the readings before and after

    def __post_init__(self) -> None:
        copies = [Copy(self.ports.blobs, shard) for shard in range(self.shards)]
        ts = self.learnt + (np.arange(BEFORE + AFTER) - BEFORE + 1) * MINUTE
        for number in range(DEVICES):
            name, rng = f"d{number}", np.random.default_rng(number)
            values = rng.normal(50, 1, (2, len(ts)))
            if not number:
                values[:, FAULT : FAULT + LASTS] += 15
            shard = shard_of("default", name, self.shards)
            table = Table.build(("a", "b"), [0] * len(ts), ts, ts, values)
            copies[shard].add([Pack(shard, [Device("default", name, "")], [table])])
        for each in copies:
            each.close()

    def shadow(self, now: int = NOW + AFTER * MINUTE, left_ms: int = ENDLESS) -> Shadow:
        return Shadow(self.ports, self.bundle, self.shards, self.shadow_ms, now, lambda: left_ms)

    def judge(self, now: int = NOW + AFTER * MINUTE, left_ms: int = ENDLESS) -> Standing:
        return judge(self.shadow(now, left_ms))

    def review(self, verdict: str, first: int = FAULT, readings: int = LASTS, detector: str = "model") -> None:
        """Somebody reviews an episode of the first device that began at a reading."""
        start = self.learnt + (first - BEFORE + 1) * MINUTE
        end, name = start + readings * MINUTE, f"e{first}"
        episode = Episode(
            id=name, tenant="default", site="", device="d0", device_class="generic", detector=detector,
            opened_by="a", opened=start, last=end, severity=Severity.WARNING, summary="odd",
        )  # fmt: skip
        said = Review(name, "default", "d0", start, end, verdict, "ada", NOW)  # type: ignore[arg-type]
        self.ports.tables.put(EPISODES.name, Key("default", name), msgspec.json.encode(episode))
        self.ports.tables.put(REVIEWS.name, Key("default", name), msgspec.json.encode(said))


@functools.cache
def sound(version: str, seed: int = 1) -> Model:
    """A model for which little is strange, learnt at NOW."""
    matrix = np.random.default_rng(seed).normal(0, 20, (2000, len(FEATURE_NAMES)))
    return train(matrix, seed=seed, trees=20, version=version, trained_at=NOW)


@functools.cache
def garbage(version: str) -> Model:
    """A model learnt from nothing but zeros: every reading is strange to it, the faulty ones no more than others."""
    return train(np.zeros((5000, len(FEATURE_NAMES))), seed=1, trees=20, version=version, trained_at=NOW)
