"""What the host of Azure Functions receives: hubs, filled by IoT Hub and stages, read by Azure's client over AMQP."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

from tests.emulators.azure import ReadBack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Stored
from watchkeeper.topology import TOPICS
from watchkeeper_azure.event_hub_events import DEVICE, ENQUEUED, TENANT
from watchkeeper_azure.names import SHARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.emulators.servers import EventHubs
    from watchkeeper.ports import Message

PATIENCE_S = 20.0
GROUPS = {topic.name: stage.name for stage in PIPELINE for topic in stage.topics}


class OverAmqp(ReadBack):
    """Messages come by a link for each partition, which is opened when there is something in it.

    The device hub's messages are sent as IoT Hub's routing sends them: who the device is and when it spoke are
    annotations, which no device can write.
    """

    def __init__(self, server: EventHubs, prefix: str, partitions: int) -> None:
        super().__init__(server, prefix, partitions)
        self._links: dict[tuple[str, int], _Link] = {}
        self._routes: dict[str, EventHubProducerClient] = {}

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        if TOPICS[topic].carries != "raw":
            super().append(topic, messages)
            return
        if topic not in self._routes:
            self._routes[topic] = self._namespace.producer(self._prefix + topic)
        for message in messages:
            partition = message.shard % self.partitions(topic)
            self._routes[topic].send_batch([_from_device(message)], partition_id=str(partition))

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        """How many there are is asked beside the links, so that nobody waits for what was not sent."""
        count = len(self._server.events(self._prefix + topic, partition, after, limit))
        if not count:
            return []
        if (topic, partition) not in self._links:
            group = GROUPS.get(topic, "$Default")
            self._links[topic, partition] = _Link(self._server.connection, self._prefix + topic, group, partition)
        stored = _stored_by_hub if TOPICS[topic].carries == "raw" else _stored
        return [stored(event) for event in self._links[topic, partition].events(after + 1, count)]

    def close(self) -> None:
        for client in (*self._routes.values(), *self._links.values()):
            client.close()
        for link in self._links.values():
            link.join()
        super().close()


class _Link:
    """All that has come of a partition, in its order."""

    def __init__(self, connection: str, hub: str, group: str, partition: int) -> None:
        self._come: list[EventData] = []
        self._news = threading.Condition()
        self._client = EventHubConsumerClient.from_connection_string(
            connection, group, eventhub_name=hub, load_balancing_interval=0.5
        )
        told = {"partition_id": str(partition), "starting_position": "-1", "prefetch": 1}  # more are waited for
        self._thread = threading.Thread(target=self._client.receive, args=(self._take,), kwargs=told, daemon=True)
        self._thread.start()

    def events(self, first: int, count: int) -> list[EventData]:
        """`count` of them, from a number on. They have been sent, so they come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._come) >= first + count, PATIENCE_S), "a link brings nothing"
            return self._come[first : first + count]

    def close(self) -> None:
        self._client.close()

    def join(self) -> None:
        """Wait until nothing comes any more."""
        self._thread.join(PATIENCE_S)

    def _take(self, _context: object, event: EventData) -> None:
        with self._news:
            assert event.sequence_number == len(self._come)
            self._come.append(event)
            self._news.notify_all()


def _from_device(message: Message) -> EventData:
    event = EventData(message.value)
    received = datetime.fromtimestamp(int(message.headers["received"]) / 1000, UTC)
    event.raw_amqp_message.annotations = {DEVICE: message.headers["device"], ENQUEUED: received}
    event.properties = {TENANT: message.headers[TENANT]} if TENANT in message.headers else {}
    return event


def _stored(event: EventData) -> Stored:
    """A message of a stage."""
    told = {_text(name): _text(value) for name, value in (event.properties or {}).items()}
    return Stored(_number(event), int(told.pop(SHARD)), b"".join(event.body), told)


def _stored_by_hub(event: EventData) -> Stored:
    """A message of a device: who it is and when it spoke, IoT Hub says."""
    told = {_text(name): _text(value) for name, value in (event.properties or {}).items()}
    added = {_text(name): value for name, value in event.system_properties.items()}
    told |= {"device": _text(added[DEVICE]), "received": str(added[ENQUEUED])}
    return Stored(_number(event), 0, b"".join(event.body), told)


def _number(event: EventData) -> int:
    assert event.sequence_number is not None
    return event.sequence_number


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
