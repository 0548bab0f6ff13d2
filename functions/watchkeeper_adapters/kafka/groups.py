"""What a cluster knows: how many partitions a topic has, and what groups have committed.

A consumer for each group, which never joins it: groups without members take commits of anybody. (One admin client could
do it for all of them; but librdkafka 2.x aborts the process when the answer to such a request comes after its time.)
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from watchkeeper.errors import Unavailable
from watchkeeper_adapters.kafka.connection import Connection

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

POLL_S = 0.002  # librdkafka hears of a commit meanwhile, but does not come back for it


class Groups:
    """Asks and tells on behalf of one process; threads take turns."""

    def __init__(self, connection: Connection) -> None:
        """No connection yet."""
        self._connection = connection
        self._lock = threading.Lock()
        self._groups: dict[str, _Group] = {}
        self._admin: AdminClient | None = None

    def partitions(self, topic: str) -> int:
        """How many a topic has. Unavailable: it is not there, or the cluster is not."""
        try:
            found = self.admin().list_topics(topic, timeout=self._connection.timeout_s).topics[topic]
        except KafkaException as error:
            raise self._connection.away(f"partitions of {topic}", error) from error
        if found.error is not None or not found.partitions:
            raise Unavailable(f"Kafka: partitions of {topic}: {found.error or 'it has none'}")
        return len(found.partitions)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """The group has taken everything up to this offset; Kafka keeps the one after it."""
        self._group(group).commit(TopicPartition(topic, partition, offset + 1))

    def committed(self, group: str, topic: str, partition: int) -> int:
        """What the group has committed; −1: nothing yet."""
        return max(-1, self._group(group).committed(TopicPartition(topic, partition)) - 1)

    def admin(self) -> AdminClient:
        """The client for topics, made at first use."""
        with self._lock:
            if self._admin is None:
                try:
                    self._admin = AdminClient(self._connection.options())
                except KafkaException as error:
                    raise self._connection.away("no client", error) from error
            return self._admin

    def close(self) -> None:
        """Close the clients. What is asked later opens them again."""
        with self._lock:
            for group in self._groups.values():
                group.close()
            self._groups.clear()
            self._admin = None

    def _group(self, name: str) -> _Group:
        with self._lock:
            if name not in self._groups:
                self._groups[name] = _Group(name, self._connection)
            return self._groups[name]


class _Group:
    def __init__(self, name: str, connection: Connection) -> None:
        self._name, self._connection, self._timeout_s = name, connection, connection.timeout_s
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, int, int], KafkaError | None] = {}
        options = {
            "group.id": name,
            "enable.auto.commit": False,
            "on_commit": self._heard,
            "fetch.wait.max.ms": 10,
            "session.timeout.ms": round(self._timeout_s * 1000),  # how long closing may take
        }
        try:
            self._consumer = Consumer(connection.options() | options)
        except KafkaException as error:
            raise self._connection.away(f"no client for group {name}", error) from error

    def commit(self, place: TopicPartition) -> None:
        where = (place.topic, place.partition, place.offset)
        with self._lock:
            self._answers.clear()
            until = time.monotonic() + self._timeout_s
            try:
                self._consumer.commit(offsets=[place], asynchronous=True)
                while where not in self._answers and time.monotonic() < until:
                    self._consumer.poll(POLL_S)
            except KafkaException as error:
                raise self._connection.away(f"commit of {self._name}", error) from error
            error_ = self._answers.get(where)
            if where not in self._answers or error_ is not None:
                raise self._connection.away(f"commit of {self._name}", error_ or "no answer in time")

    def committed(self, place: TopicPartition) -> int:
        with self._lock:
            try:
                (told,) = self._consumer.committed([place], timeout=self._timeout_s)
            except KafkaException as error:
                raise self._connection.away(f"place of {self._name}", error) from error
        if told.error is not None:
            raise self._connection.away(f"place of {self._name}", told.error)
        return told.offset

    def close(self) -> None:
        self._consumer.close()

    def _heard(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        for place in places:
            self._answers[place.topic, place.partition, place.offset] = error or place.error
