"""Which partitions are this process's: what the consumer group gives it, and takes from it when members come and go.

Only the numbers are of interest: all sharded topics have the same ones, and who has partition 2 of one has it of all.
So one topic is subscribed to, and nothing is read of it here. For a while after a change two members may both believe
that a partition is theirs; states are written by compare-and-swap, so that the slower one finds the work done.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException

from watchkeeper.topology import DEVICE_TELEMETRY

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

    from watchkeeper_adapters.kafka.connection import Connection

log = logging.getLogger(__name__)
SESSION_MS = 6_000  # a member that is dead is replaced after it
POLL_S = 0.2


class Membership:
    """A member of the group, kept alive by a thread of its own, however long a batch takes.

    `owned` are its partitions now; every change of them changes `generation`, too.
    """

    def __init__(self, connection: Connection, group: str, *, prefix: str = "", member: str = "") -> None:
        """Join. `member`: a name that stays the same when the process starts again, for brokers that need one."""
        self.owned: frozenset[int] = frozenset()
        self.generation = 0
        self._stop = threading.Event()
        options = {
            "group.id": group,
            "partition.assignment.strategy": "range",
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 6,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
        }
        if member:
            options["group.instance.id"] = member
        self._consumer = Consumer(connection.options() | options)
        topic = prefix + DEVICE_TELEMETRY.name
        self._consumer.subscribe([topic], on_assign=self._given, on_revoke=self._taken, on_lost=self._taken)
        self._thread = threading.Thread(target=self._keep, name="membership", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave, so that the others need not wait until this member is missed."""
        self._stop.set()
        self._thread.join(10)

    def _keep(self) -> None:
        while not self._stop.is_set():
            try:
                self._consumer.poll(POLL_S)
            except KafkaException as error:
                log.error("the group cannot be heard: %s", error)
                self._stop.wait(1.0)
        self._consumer.close()

    def _given(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        consumer.assign(places)
        consumer.pause(places)  # what is in them is read elsewhere
        self._change(frozenset(place.partition for place in places))

    def _taken(self, consumer: Consumer, _places: list[TopicPartition]) -> None:
        consumer.unassign()
        self._change(frozenset())

    def _change(self, owned: frozenset[int]) -> None:
        self.owned = owned
        self.generation += 1
        log.info("partitions of this process are now %s", sorted(owned) or "none")
