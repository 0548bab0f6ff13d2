"""The stream port over Event Hubs: a hub is a topic, and a shard lives in partition `shard % partitions`.

Messages are sent to a partition by its number, never by a key, whose partition only Event Hubs knows. A hub's batches
follow one another and each is acknowledged, so a retry changes no order; what a retry doubles carries the same origin,
and is skipped by whoever takes it.

Nothing is read here: functions are given their messages by their host, which also keeps their places.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from azure.core.exceptions import AzureError
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.exceptions import EventDataSendError, EventHubError

from watchkeeper.errors import Refused, Unavailable
from watchkeeper.ports import Message, Stored
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.plain import excerpt
from watchkeeper_azure.failures import SHOWN
from watchkeeper_azure.names import SHARD

if TYPE_CHECKING:
    from typing import Any

    from azure.core.credentials import TokenCredential
    from azure.eventhub import EventDataBatch

RETRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S = 2, 0.2, 2.0
OPENING_S = 2.0  # for opening links, on top of what a call has
THREAD = "event-hubs"
T = TypeVar("T")
READ_BY_HOST = "on Azure the host of the functions reads the hubs, and keeps the places of their groups"


class Namespace:
    """Hubs and how to log in: as an identity at `host`, or by a connection string. `timeout_s` bounds each call."""

    def __init__(
        self,
        *,
        host: str = "",
        credential: TokenCredential | None = None,
        connection: str = "",
        timeout_s: float = 8.0,
    ) -> None:
        self.timeout_s = timeout_s
        self._host, self._credential, self._connection = host, credential, connection
        self._options: dict[str, Any] = {
            "auth_timeout": timeout_s,
            "retry_total": RETRIES,
            "retry_backoff_factor": FIRST_PAUSE_S,
            "retry_backoff_max": LONGEST_PAUSE_S,
        }

    def producer(self, hub: str) -> EventHubProducerClient:
        """A client that sends."""
        if self._connection:
            return EventHubProducerClient.from_connection_string(self._connection, eventhub_name=hub, **self._options)
        return EventHubProducerClient(self._host, hub, self._credential, **self._options)  # type: ignore[arg-type]


class EventHubsStream:
    """The stream of a namespace. Clients are made at first use.

    `partitions`: of the sharded hubs, where it is known; else the namespace is asked, which takes the library half a
    second. `prefix` goes before every hub's name.
    """

    def __init__(self, namespace: Namespace, *, partitions: int = 0, prefix: str = "") -> None:
        self._namespace, self._partitions, self._prefix = namespace, partitions, prefix
        self._lock = threading.Lock()
        self._hubs: dict[str, _Hub] = {}

    def partitions(self, topic: str) -> int:
        if not TOPICS[topic].sharded:
            return 1
        if not self._partitions:
            self._partitions = self._hub(topic).count()
        return self._partitions

    def append(self, topic: str, messages: Sequence[Message]) -> None:
        if not messages:
            return
        count = self.partitions(topic)
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(message.shard % count, []).append(message)
        hub = self._hub(topic)
        for partition, ours in by_partition.items():
            hub.send(partition, ours)

    def read(self, topic: str, partition: int, after: int, limit: int) -> list[Stored]:
        raise NotImplementedError(READ_BY_HOST)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        raise NotImplementedError(READ_BY_HOST)

    def committed(self, group: str, topic: str, partition: int) -> int:
        raise NotImplementedError(READ_BY_HOST)

    def close(self) -> None:
        """Close the clients. What is used later opens them again."""
        with self._lock:
            hubs, self._hubs = list(self._hubs.values()), {}
        for hub in hubs:
            hub.close()

    def _hub(self, topic: str) -> _Hub:
        with self._lock:
            if topic not in self._hubs:
                self._hubs[topic] = _Hub(self._namespace, self._prefix + topic)
            return self._hubs[topic]


class _Hub:
    """One hub's client, which one thread uses at a time: it is not made for more.

    A call has a thread of its own, which is left behind when it takes too long: while a connection is opened the
    library waits for ever for a service that says nothing. What such a thread sends late is a copy of what is sent
    again.
    """

    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace, self._name = namespace, name
        self._client: EventHubProducerClient | None = None
        self._lock = threading.Lock()

    def count(self) -> int:
        """How many partitions it has."""
        return self._call(lambda client: len(client.get_partition_ids()))

    def send(self, partition: int, messages: Sequence[Message]) -> None:
        """In batches as large as the hub takes them. Refused: a message is larger than that."""
        timeout_s = self._namespace.timeout_s

        def act(client: EventHubProducerClient) -> None:
            batch = client.create_batch(partition_id=str(partition))
            for message in messages:
                event = _event(message)
                if _is_added(batch, event):
                    continue
                if len(batch):
                    client.send_batch(batch, timeout=timeout_s)
                    if client is not self._client:  # nobody waits any more
                        return
                    batch = client.create_batch(partition_id=str(partition))
                if not _is_added(batch, event):
                    size = f"a message of {len(message.value):,} bytes; a batch has {batch.max_size_in_bytes:,}"
                    raise Refused(f"Event Hubs {self._name}: {size}")
            client.send_batch(batch, timeout=timeout_s)

        self._call(act)

    def close(self) -> None:
        """Close the client; what is asked later makes another one."""
        with self._lock:
            if self._client:
                self._client.close()
            self._client = None

    def _call(self, act: Callable[[EventHubProducerClient], T]) -> T:
        limit_s = self._namespace.timeout_s + OPENING_S
        with self._lock, _waiting_for(self._name):
            client = self._client = self._client or self._namespace.producer(self._name)
            answer: Future[T] = Future()
            threading.Thread(target=_answer, args=(answer, act, client), name=THREAD, daemon=True).start()
            try:
                return answer.result(limit_s)
            except TimeoutError:
                self._client = None
                raise


def _answer(answer: Future[T], act: Callable[[EventHubProducerClient], T], client: EventHubProducerClient) -> None:
    try:
        answer.set_result(act(client))
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it
        answer.set_exception(error)


def _event(message: Message) -> EventData:
    event = EventData(message.value)
    told = [*message.headers.items(), (SHARD, str(message.shard))]
    event.properties = {name: text for name, text in told}  # noqa: C416 - a dict by its type takes other keys, too
    return event


def _is_added(batch: EventDataBatch, event: EventData) -> bool:
    try:
        batch.add(event)
    except ValueError:  # it would be larger than the hub takes
        return False
    return True


@contextlib.contextmanager
def _waiting_for(hub: str) -> Iterator[None]:
    try:
        yield
    except EventDataSendError as error:
        if "message-size-exceeded" in str(error):
            raise Refused(f"Event Hubs {hub}: {excerpt(str(error), SHOWN)}") from error
        raise Unavailable(f"Event Hubs {hub}: {excerpt(str(error), SHOWN)}") from error
    except TimeoutError as error:
        raise Unavailable(f"Event Hubs {hub}: no answer in time") from error
    except (EventHubError, AzureError, OSError) as error:
        raise Unavailable(f"Event Hubs {hub}: {excerpt(str(error), SHOWN)}") from error
