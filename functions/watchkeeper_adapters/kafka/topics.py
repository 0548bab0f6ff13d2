"""Making the topics of the pipeline in a cluster where they are missing."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from watchkeeper.errors import ConfigError
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.kafka.connection import LARGEST_MESSAGE, Connection
from watchkeeper_adapters.kafka.groups import Groups

RETENTION_MS = 7 * 86_400_000


def make_topics(connection: Connection, partitions: int, *, prefix: str = "", replicas: int = -1) -> list[str]:
    """Make what is missing; answers what was made. `replicas` −1: as many as the cluster makes by itself.

    ConfigError: a topic is there with another number of partitions, of which messages would go astray; or the
    cluster and we refuse each other. Unavailable: it cannot be had in time.
    """
    admin = Groups(connection).admin()
    try:
        there = connection.topics(admin)
        wanted = {prefix + topic.name: partitions if topic.sharded else 1 for topic in TOPICS.values()}
        for name, count in wanted.items():
            if name in there and there[name] != count:
                raise ConfigError(f"Kafka: topic {name} has {there[name]} partitions and should have {count}")
        config = {"retention.ms": str(RETENTION_MS), "max.message.bytes": str(LARGEST_MESSAGE + 100_000)}
        missing = [
            NewTopic(name, count, replicas, config=config) for name, count in wanted.items() if name not in there
        ]
        made = admin.create_topics(missing, request_timeout=connection.timeout_s) if missing else {}
        return [name for name, answer in made.items() if _is_made(answer)]
    except KafkaException as error:
        raise connection.away("make topics", error) from error


def _is_made(answer: object) -> bool:
    try:
        answer.result()  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was first
            return False
        raise
    return True
