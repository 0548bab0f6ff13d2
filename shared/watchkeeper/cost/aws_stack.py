"""What a stack on AWS is like, as far as its cost depends on it: what runs by the hour, and how batches are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from watchkeeper.topology import Topic


class AwsStack(msgspec.Struct, frozen=True, kw_only=True):
    """A stack's size, named as in `Pulumi.<stack>.yaml`; the defaults are those of the smallest one."""

    zones: int = 2
    kafka_instance: str = "kafka.t3.small"
    kafka_brokers: int = 2
    kafka_volume_gb: int = 100
    shards: int = 8
    retention_hours: int = 72
    batch_size: int = 5000
    batch_window_seconds: int = 5
    pollers: int = 1

    @property
    def window_s(self) -> float:
        """How long a batch waits to be full."""
        return self.batch_window_seconds

    @property
    def side_by_side(self) -> int:
        """How many batches of a topic are cut at the same time: each poller cuts its own."""
        return self.pollers

    def largest(self, topic: Topic) -> int:
        """Messages that a batch of any topic has at most."""
        return self.batch_size

    def shards_in(self, topic: Topic) -> int:
        """Shards that a batch of any topic has at most: a poller takes of all partitions."""
        return self.shards


SMALL = AwsStack()
LARGE = AwsStack(
    zones=3, kafka_instance="kafka.m7g.large", kafka_brokers=3, kafka_volume_gb=500, shards=16, batch_window_seconds=2
)
SMALL_CARRIES = 1000.0
"""Readings a second up to which the small stack is taken: two brokers kafka.t3.small, whose processors are shared."""


def stack_for(readings_per_second: float) -> AwsStack:
    """The stack that an estimate takes for a load."""
    return SMALL if readings_per_second <= SMALL_CARRIES else LARGE
