"""Reading partitions from any offset: one consumer for all of them, without a group; what it fetches waits here.

Kafka's consumers fetch ahead and hand out messages of all partitions in turn; the port asks for those of one, after an
offset. A partition that goes on where it was is served from what was fetched; any other place is sought anew.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from watchkeeper.ports import Stored
from watchkeeper_adapters.kafka.connection import Connection

if TYPE_CHECKING:
    from confluent_kafka import Message as KafkaMessage

log = logging.getLogger(__name__)
AT_ONCE = 512  # messages taken from librdkafka at a time
ENOUGH = 1024  # messages that wait for a partition nobody reads, before its fetching is paused
WAIT_S = 0.05


@dataclasses.dataclass(slots=True)
class _Place:
    """A partition: the offset last handed out, what waits, where its end is known to be, where an end was met."""

    last: int
    end: int
    waiting: deque[Stored] = dataclasses.field(default_factory=deque)
    met_end: int = -1
    paused: bool = False


class Reading:
    """Reads on behalf of one process; threads take turns."""

    def __init__(self, connection: Connection) -> None:
        """No connection yet."""
        self._connection = connection
        self._lock = threading.RLock()
        self._made: Consumer | None = None
        self._places: dict[tuple[str, int], _Place] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._failure: KafkaError | None = None

    def has_end(self, topic: str, partition: int, end: int) -> None:
        """What was appended here is there: `end` is one above its offset."""
        self._ends[topic, partition] = max(end, self._ends.get((topic, partition), 0))

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        """Up to `limit` messages after an offset. Unavailable: they cannot be had in time.

        Among them is what was there when the place was sought, or this process has appended; others' as it comes.
        """
        with self._lock:
            try:
                return self._read(topic, partition, after, limit)
            except KafkaException as error:
                self._places.pop((topic, partition), None)
                raise self._connection.away(f"read {topic}/{partition}", error) from error

    def close(self) -> None:
        """Close the consumer. What is read later opens another."""
        with self._lock:
            if self._made is not None:
                self._made.close()
            self._made = None
            self._places.clear()

    def _read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        consumer = self._consumer()
        place = self._places.get((topic, partition))
        if place is None or place.last != after:
            place = self._seek(consumer, topic, partition, after)
        until = time.monotonic() + self._connection.timeout_s
        self._forgive()
        self._fetch(consumer, 0.0)
        taken: list[Stored] = []
        while len(taken) < limit:
            while place.waiting and len(taken) < limit:
                taken.append(place.waiting.popleft())
            last = taken[-1].offset if taken else after
            end = max(place.end, self._ends.get((topic, partition), 0))
            if len(taken) == limit or last + 1 >= end or place.met_end >= end:
                break
            if time.monotonic() > until:
                if taken:
                    break
                raise self._connection.away(f"read {topic}/{partition}", self._failure or "no answer in time")
            self._resume(consumer, topic, partition, place)
            self._fetch(consumer, WAIT_S)
        if taken:
            place.last = taken[-1].offset
        if not place.waiting:
            self._resume(consumer, topic, partition, place)
        return taken

    def _forgive(self) -> None:
        self._failure = None

    def _seek(self, consumer: Consumer, topic: str, partition: int, after: int) -> _Place:
        where = TopicPartition(topic, partition, after + 1)
        low, high = self._marks(consumer, where)
        if low > after + 1 and after >= 0:
            log.error("%s/%d: %d messages were deleted before they were taken", topic, partition, low - after - 1)
        if (topic, partition) in self._places:
            consumer.incremental_unassign([where])
        consumer.incremental_assign([TopicPartition(topic, partition, max(after + 1, low))])
        place = self._places[topic, partition] = _Place(after, high)
        return place

    def _marks(self, consumer: Consumer, where: TopicPartition) -> tuple[int, int]:
        """The first offset there is and one above the last; of a topic just made, as soon as it is known."""
        until = time.monotonic() + self._connection.timeout_s
        while True:
            try:
                return consumer.get_watermark_offsets(where, timeout=self._connection.timeout_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION or time.monotonic() > until:  # noqa: SLF001
                    raise
                consumer.list_topics(where.topic, timeout=self._connection.timeout_s)

    def _fetch(self, consumer: Consumer, wait_s: float) -> None:
        for message in consumer.consume(AT_ONCE, wait_s):
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            place = self._places.get((topic or "", -1 if partition is None else partition))
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._failure = error
            if place is None or offset is None or topic is None or partition is None:
                continue
            if error is not None:
                place.met_end = max(place.met_end, offset)
                continue
            place.waiting.append(stored(message))
            if len(place.waiting) >= ENOUGH and not place.paused:
                consumer.pause([TopicPartition(topic, partition)])
                place.paused = True

    def _resume(self, consumer: Consumer, topic: str, partition: int, place: _Place) -> None:
        if place.paused:
            consumer.resume([TopicPartition(topic, partition)])
            place.paused = False

    def _consumer(self) -> Consumer:
        if self._made is None:
            options = {
                "group.id": "watchkeeper-reads-without-a-group",  # librdkafka asks for a name; nothing is committed
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": min(100, round(self._connection.timeout_s * 50)),
                "queued.max.messages.kbytes": 8192,
                "session.timeout.ms": round(self._connection.timeout_s * 1000),  # how long closing may take
            }
            self._made = Consumer(self._connection.options() | options)
        return self._made


def stored(message: KafkaMessage) -> Stored:
    """A message of Kafka as the port's. Its key is the shard where we have written it; the hub's key is its own."""
    key: Any = message.key() or b""
    shard = int(key) if isinstance(key, bytes) and key.isdigit() and len(key) < 10 else 0
    said: Any = message.headers() or ()
    headers = {name: value.decode("utf-8", "replace") for name, value in said if value is not None}
    return Stored(message.offset() or 0, shard, bytes(message.value() or b""), headers)
