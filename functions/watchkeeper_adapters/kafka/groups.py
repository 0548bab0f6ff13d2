"""What a cluster knows: how many partitions a topic has, and what groups have committed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from watchkeeper.errors import Unavailable
from watchkeeper_adapters.kafka.connection import Connection, away

if TYPE_CHECKING:
    from concurrent.futures import Future


class Groups:
    """Asks and tells by one client for all groups: none of them has members, so a commit needs no membership."""

    def __init__(self, connection: Connection) -> None:
        """No connection yet."""
        self._connection = connection
        self._lock = threading.Lock()
        self._made: AdminClient | None = None

    def partitions(self, topic: str) -> int:
        """How many a topic has. Unavailable: it is not there, or the cluster is not."""
        try:
            found = self.admin().list_topics(topic, timeout=self._connection.timeout_s).topics[topic]
        except KafkaException as error:
            raise away(f"partitions of {topic}", error) from error
        if found.error is not None or not found.partitions:
            raise Unavailable(f"Kafka: partitions of {topic}: {found.error or 'it has none'}")
        return len(found.partitions)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """The group has taken everything up to this offset; Kafka keeps the one after it."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset + 1)])
        self._ask(f"commit of {group}", lambda admin: admin.alter_consumer_group_offsets([asked], **self._patience))

    def committed(self, group: str, topic: str, partition: int) -> int:
        """What the group has committed; −1: nothing yet."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        told = self._ask(
            f"place of {group}", lambda admin: admin.list_consumer_group_offsets([asked], **self._patience)
        )
        return max(-1, told[0].offset - 1)

    def admin(self) -> AdminClient:
        """The client, made at first use."""
        with self._lock:
            if self._made is None:
                try:
                    self._made = AdminClient(self._connection.options())
                except KafkaException as error:
                    raise away("no client", error) from error
            return self._made

    @property
    def _patience(self) -> dict[str, float]:
        return {"request_timeout": self._connection.timeout_s}

    def _ask(self, what: str, ask: Any) -> list[TopicPartition]:  # noqa: ANN401 - confluent's futures are untyped
        try:
            futures: list[Future[ConsumerGroupTopicPartitions]] = list(ask(self.admin()).values())
            told = futures[0].result(self._connection.timeout_s).topic_partitions or []
        except KafkaException as error:
            raise away(what, error) from error
        except TimeoutError as error:
            raise Unavailable(f"Kafka: {what}: no answer in time") from error
        for place in told:
            if place.error is not None:
                raise Unavailable(f"Kafka: {what}: {place.error}")
        return told
