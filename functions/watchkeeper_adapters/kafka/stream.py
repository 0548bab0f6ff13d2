"""The stream port over Kafka: topics, partitions and groups are Kafka's own.

A message's key is its shard, its partition `shard % partitions`. Messages are acknowledged by all in-sync replicas
before `append` returns. One request is under way at a time, so a retry changes no order; what a retry doubles carries
the same origin, and is skipped by whoever takes it. That needs no idempotent producer, whose first message waits half
a second, and no permission for one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer

from watchkeeper.errors import Refused, Unavailable
from watchkeeper.ports import Message, Stored
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.kafka.connection import LARGEST_MESSAGE, Connection
from watchkeeper_adapters.kafka.groups import Groups
from watchkeeper_adapters.kafka.reading import Reading

if TYPE_CHECKING:
    from confluent_kafka import KafkaError
    from confluent_kafka import Message as KafkaMessage

POLL_S = 0.005


class KafkaStream:
    """The stream of a cluster. Clients are made at first use: a constructor that logs in may take a second.

    `prefix` goes before every topic's name, so that several pipelines can share a cluster. `partitions`: of the
    sharded topics, where it is known; else the cluster is asked.
    """

    def __init__(self, connection: Connection, *, prefix: str = "", partitions: int = 0) -> None:
        self._connection, self._prefix, self._partitions = connection, prefix, partitions
        self._lock = threading.Lock()
        self._made: Producer | None = None
        self._groups = Groups(connection)
        self._reading = Reading(connection)

    def partitions(self, topic: str) -> int:
        if not TOPICS[topic].sharded:
            return 1
        if not self._partitions:
            self._partitions = self._groups.partitions(self.name(topic))
        return self._partitions

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        count, name = self.partitions(topic), self.name(topic)
        for message in messages:
            if len(message.value) > LARGEST_MESSAGE:
                text = f"{topic}: a message of {len(message.value):,} bytes; Kafka takes {LARGEST_MESSAGE:,}"
                raise Refused(text)
        receipts = _Receipts(len(messages), self._reading, self._connection)
        producer = self._producer()
        until = time.monotonic() + self._connection.timeout_s + 2.0
        for message in messages:
            self._produce(producer, name, message, count, receipts, until)
        while receipts.waiting and time.monotonic() < until:
            producer.poll(POLL_S)
        receipts.check(topic)

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        return self._reading.read(self.name(topic), partition, after, limit)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        self._groups.commit(self._prefix + group, self.name(topic), partition, offset)

    def committed(self, group: str, topic: str, partition: int) -> int:
        return self._groups.committed(self._prefix + group, self.name(topic), partition)

    def name(self, topic: str) -> str:
        """What the topic is called in the cluster."""
        return self._prefix + topic

    def close(self) -> None:
        """Close the clients. What is used later opens them again."""
        self._reading.close()
        self._groups.close()
        with self._lock:
            self._made = None

    def _produce(
        self, producer: Producer, name: str, message: Message, count: int, receipts: _Receipts, until: float
    ) -> None:
        headers: Any = list(message.headers.items())
        while True:
            try:
                producer.produce(
                    name,
                    message.value,
                    str(message.shard).encode(),
                    message.shard % count,
                    receipts.take,
                    headers=headers,
                )
            except BufferError as error:  # librdkafka's queue is full: let it be emptied
                if time.monotonic() > until:
                    raise Unavailable(f"Kafka: {name} takes nothing") from error
                producer.poll(POLL_S)
            except KafkaException as error:
                raise self._connection.away(f"append to {name}", error) from error
            else:
                return

    def _producer(self) -> Producer:
        with self._lock:
            if self._made is None:
                options = {
                    "acks": "all",
                    "compression.type": "zstd",
                    "linger.ms": 0,
                    "max.in.flight.requests.per.connection": 1,
                    "message.timeout.ms": round(self._connection.timeout_s * 1000),
                }
                try:
                    self._made = Producer(self._connection.options() | options)
                except KafkaException as error:
                    raise self._connection.away("no producer", error) from error
            return self._made


class _Receipts:
    """What became of the messages of one `append`."""

    def __init__(self, waiting: int, reading: Reading, connection: Connection) -> None:
        self.waiting = waiting
        self._reading, self._connection = reading, connection
        self._error = ""

    def take(self, error: KafkaError | None, message: KafkaMessage) -> None:
        """Kafka's answer for one message."""
        self.waiting -= 1
        if error is not None:
            self._error = self._error or str(error)
        else:
            place = (message.topic(), message.partition(), message.offset())
            if place[0] is not None and place[1] is not None and place[2] is not None:
                self._reading.has_end(place[0], place[1], place[2] + 1)

    def check(self, topic: str) -> None:
        """Unavailable: not all of them are known to be durable."""
        if self._error or self.waiting:
            why = self._error or f"{self.waiting} messages are not acknowledged in time"
            raise self._connection.away(f"append to {topic}", why)
