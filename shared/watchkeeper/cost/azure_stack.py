"""What a stack on Azure is like, as far as its cost depends on it: what runs by the hour, and how batches are cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from watchkeeper.topology import Topic

DAY_S = 86_400
MESSAGES_A_DAY = {"S1": 400_000, "S2": 6_000_000, "S3": 300_000_000}
"""What a unit of IoT Hub takes, by 4 KB; published limits of its tiers."""


class AzureStack(msgspec.Struct, frozen=True, kw_only=True):
    """A stack's size, named as in `Pulumi.<stack>.yaml`; the defaults are those of the smallest one."""

    hub_size: Literal["S1", "S2", "S3"] = "S1"
    hub_units: int = 1
    throughput_units: int = 1
    shards: int = 8
    partitions: int = 2
    batch_size: int = 100
    raw_batch_size: int = 1000
    batch_wait_seconds: int = 5
    cosmos: Literal["serverless", "autoscale"] = "serverless"
    cosmos_units: int = 4000
    web_pubsub: Literal["Free_F1", "Standard_S1"] = "Free_F1"
    web_pubsub_units: int = 1
    dashboard_size: Literal["Free", "Standard"] = "Free"

    @property
    def window_s(self) -> float:
        """How long a batch waits to be full."""
        return self.batch_wait_seconds

    @property
    def side_by_side(self) -> int:
        """How many batches of a topic are cut at the same time: each partition has its own."""
        return self.partitions

    def largest(self, topic: Topic) -> int:
        """Messages that a batch of a topic has at most."""
        return self.raw_batch_size if topic.carries == "raw" else self.batch_size

    def shards_in(self, topic: Topic) -> int:
        """Shards that a batch of a topic has at most: those of its partition; the hub's own are divided otherwise."""
        return self.shards if topic.carries == "raw" else math.ceil(self.shards / self.partitions)


SMALL = AzureStack()
LARGE = AzureStack(shards=16, partitions=16, web_pubsub="Standard_S1", dashboard_size="Standard")
SMALL_CARRIES = 1000.0
"""Readings a second up to which the small stack is taken."""


def stack_for(readings_per_second: float, readings_per_message: float = 1.0) -> AzureStack:
    """The stack that an estimate takes for a load, with as many units of the hub as take its messages."""
    small = readings_per_second <= SMALL_CARRIES
    messages = readings_per_second / readings_per_message * DAY_S
    units = {size: max(1, math.ceil(messages / a_day)) for size, a_day in MESSAGES_A_DAY.items()}
    dollars = {"S1": 1, "S2": 10, "S3": 100}  # a unit of the next size costs ten of the one before
    size = min(units, key=lambda each: units[each] * dollars[each])
    return msgspec.structs.replace(SMALL if small else LARGE, hub_size=size, hub_units=units[size])
