"""The namespace over AMQP 1.0: logging in by `$cbs`, properties by `$management`, producers and readers.

Source: Microsoft Learn, "AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from proton import UNDESCRIBED, Array, Condition, Data, Delivery, Described, Handler, Message, int32, symbol, timestamp

from tests.emulators.event_hubs.hubs import Event, Namespace, Place, start_of
from tests.emulators.event_hubs.sas import path_of

LARGEST = 1_048_576  # bytes of a message, or of a batch, in the Standard tier
ANNOTATIONS, DATA = 0x72, 0x75  # descriptors of sections
NODES = ("$cbs", "$management")


class Links(Handler):
    """Serves a namespace at `address`; `keys`: of its policies, by name. `faults`: how many of each kind are to come.

    "busy": a batch is refused for now. "lost": it is kept, and the connection breaks before that is said.
    """

    def __init__(self, namespace: Namespace, keys: Mapping[str, str], address: str) -> None:
        self.faults = {"busy": 0, "lost": 0}
        self._namespace, self._keys, self._address = namespace, keys, address
        self._opened: dict[Any, set[str]] = {}  # by connection: the paths that its tokens open
        self._readers: dict[Any, int] = {}  # by link: how many events it was given
        self._answers: dict[tuple[Any, str, str], Any] = {}  # links by connection, node and address

    def on_reactor_init(self, event: Any) -> None:
        self._container = event.reactor
        event.reactor.listen(self._address)

    def on_connection_remote_open(self, event: Any) -> None:
        self._opened[event.connection] = set()
        event.connection.open()

    def on_session_remote_open(self, event: Any) -> None:
        event.session.open()

    def on_session_remote_close(self, event: Any) -> None:
        event.session.close()

    def on_connection_remote_close(self, event: Any) -> None:
        event.connection.close()

    def on_transport_closed(self, event: Any) -> None:
        self._opened.pop(event.connection, None)
        self._readers = {link: place for link, place in self._readers.items() if link.connection != event.connection}
        self._answers = {key: link for key, link in self._answers.items() if key[0] != event.connection}

    def on_link_remote_open(self, event: Any) -> None:
        link = event.link
        ours, theirs = link.remote_source.address or "", link.remote_target.address or ""
        if link.is_receiver:
            ours, theirs = theirs, ours
        address = theirs if theirs in NODES else ours
        link.max_message_size = LARGEST
        if address in NODES:
            link.place, link.node = None, address
            if link.is_sender:
                self._answers[event.connection, address, link.remote_target.address] = link
            else:
                link.flow(100)
            _accept(link)
            return
        path = urlsplit(address).path if "://" in address else address
        link.place, link.node = self._namespace.place(path), ""
        if link.place is None:
            self._refuse(link, "amqp:not-found", f"The messaging entity '{path}' could not be found.")
        elif not self._may(event.connection, link.place.hub.name):
            self._refuse(link, "amqp:unauthorized-access", "Unauthorized access. 'Listen' or 'Send' is required")
        elif link.is_receiver:
            _accept(link)
            link.flow(300)
        else:
            self._open_reader(link)

    def on_link_remote_close(self, event: Any) -> None:
        self._readers.pop(event.link, None)
        event.link.close()

    on_link_remote_detach = on_link_remote_close

    def on_link_flow(self, event: Any) -> None:
        if event.link in self._readers:
            self._feed(event.link)

    def on_delivery(self, event: Any) -> None:
        delivery, link = event.delivery, event.link
        if link.is_sender:
            if delivery.updated and not delivery.settled:
                delivery.settle()
            return
        if not delivery.readable or delivery.partial:
            return
        raw = link.recv(delivery.pending)
        if link.node:
            self._ask(event, raw)
            self._settle(link, delivery, None)
        elif link.place is not None:
            self._take(link, delivery, raw)

    def _may(self, connection: Any, hub: str) -> bool:
        return any(path in {"", hub.lower()} or path.startswith(f"{hub.lower()}/") for path in self._opened[connection])

    def _refuse(self, link: Any, name: str, text: str) -> None:
        """Take the link up and drop it, saying why, in a later turn: both at once would not be read."""
        link.place = None
        _accept(link)

        class Later(Handler):
            def on_timer_task(self, _event: Any) -> None:
                link.condition = _condition(name, text)
                link.close()

        self._container.schedule(0.01, Later())

    # --- producers

    def _take(self, link: Any, delivery: Any, raw: bytes) -> None:
        if len(raw) > LARGEST:
            self._settle(link, delivery, _condition("amqp:link:message-size-exceeded", f"{len(raw)} > {LARGEST} bytes"))
            return
        if self._falls("busy"):
            self._settle(link, delivery, _condition("com.microsoft:server-busy", "The request was terminated."))
            return
        place: Place = link.place
        key, messages = _unpacked(raw)
        for message in messages:
            place.hub.append(place.partition, key, (message, key))
        if self._falls("lost"):
            link.connection.transport.close_tail()
            link.connection.transport.close_head()
            return
        self._settle(link, delivery, None)
        for reader in list(self._readers):
            self._feed(reader)

    def _falls(self, fault: str) -> bool:
        if not self.faults[fault]:
            return False
        self.faults[fault] -= 1
        return True

    @staticmethod
    def _settle(link: Any, delivery: Any, refusal: Condition | None) -> None:
        if refusal:
            delivery.local.condition = refusal
        delivery.update(Delivery.REJECTED if refusal else Delivery.ACCEPTED)
        delivery.settle()
        link.flow(1)

    # --- readers

    def _open_reader(self, link: Any) -> None:
        place: Place = link.place
        if not place.group or place.partition is None:
            self._refuse(link, "amqp:not-found", "a reader names a consumer group and a partition")
            return
        try:
            start = start_of(place.events, _selector(link))
        except ValueError as error:
            self._refuse(link, "amqp:invalid-field", str(error))
            return
        _accept(link)
        self._readers[link] = start

    def _feed(self, link: Any) -> None:
        events = link.place.events
        while link.credit > 0 and self._readers[link] < len(events):
            sent = events[self._readers[link]]
            self._readers[link] += 1
            delivery = link.send(_outgoing(sent))
            if link.snd_settle_mode == link.SND_SETTLED:
                delivery.settle()
        if link.drain_mode:
            link.drained()

    # --- $cbs and $management

    def _ask(self, event: Any, raw: bytes) -> None:
        asked = Message()
        asked.decode(raw)
        told = {str(name): value for name, value in (asked.properties or {}).items()}
        answer = Message(correlation_id=asked.id)
        if event.link.node == "$cbs":
            status, text = self._log_in(event.connection, asked.body)
        else:
            status, text, answer.body = self._properties(told)
        answer.properties = {"status-code": int32(status), "status-description": text}
        for (connection, node, address), link in self._answers.items():
            if connection == event.connection and node == event.link.node and asked.reply_to in {None, address}:
                link.send(answer)
                return

    def _log_in(self, connection: Any, token: Any) -> tuple[int, str]:
        text = token.decode() if isinstance(token, bytes) else str(token)
        try:
            self._opened[connection].add(path_of(text, self._keys))
        except (PermissionError, ValueError, KeyError) as error:
            return 401, str(error)
        return 202, "Accepted"

    def _properties(self, told: Mapping[str, Any]) -> tuple[int, str, dict[str, Any]]:
        hub = self._namespace.hub(str(told.get("name", "")))
        if hub is None:
            return 404, "The messaging entity could not be found.", {}
        said = {"name": hub.name, "type": told["type"]}
        if told["type"] == "com.microsoft:eventhub":
            names = [str(number) for number in range(len(hub.partitions))]
            said |= {
                "created_at": timestamp(int(time.time() * 1000)),
                "partition_count": len(names),
                "partition_ids": Array(UNDESCRIBED, Data.STRING, *names),
            }
            return 200, "OK", said
        events = hub.partitions[int(told["partition"])]
        last = events[-1] if events else Event(-1, 0, None)
        said |= {
            "partition": str(told["partition"]),
            "begin_sequence_number": 0 if events else -1,
            "last_enqueued_sequence_number": last.number,
            "last_enqueued_offset": last.offset if events else "-1",
            "last_enqueued_time_utc": timestamp(last.time_ms),
            "is_partition_empty": not events,
        }
        return 200, "OK", said


def _condition(name: str, text: str) -> Condition:
    """An error with all of its fields: see `padding`."""
    return Condition(name, text, {symbol("from"): "the tests"})


def _accept(link: Any) -> None:
    link.source.copy(link.remote_source)
    link.target.copy(link.remote_target)
    link.open()


def _selector(link: Any) -> str:
    """The one filter of a reader."""
    given = link.remote_source.filter
    given.rewind()
    filters = given.get_object() if given.next() else {}
    values = [value.value if isinstance(value, Described) else value for value in (filters or {}).values()]
    if len(values) != 1:
        raise ValueError("a reader says where it begins")
    return values[0].decode() if isinstance(values[0], bytes) else str(values[0])


def _unpacked(raw: bytes) -> tuple[str, list[bytes]]:
    """The partition key, and the messages of a batch, each of which is a section of data; or the one message."""
    key, datas = "", []
    for descriptor, value in _sections(raw):
        if descriptor == ANNOTATIONS:
            given = {str(name): text for name, text in value.items()}.get("x-opt-partition-key", "")
            key = given.decode() if isinstance(given, bytes) else str(given)
        elif descriptor == DATA:
            datas.append(value)
    return key, datas if datas and all(_is_message(data) for data in datas) else [raw]


def _sections(raw: bytes) -> list[tuple[int, Any]]:
    found = []
    while raw:
        data = Data()
        taken = data.decode(raw)
        data.rewind()
        data.next()
        section = data.get_object()
        value = section.value  # a view of what `data` holds, if it is bytes
        found.append((int(section.descriptor), bytes(value) if isinstance(value, memoryview) else value))
        raw = raw[taken:]
    return found


def _is_message(data: bytes) -> bool:
    """Whether it begins as a described section of a message does."""
    return len(data) > 2 and data[0] == 0 and data[1] in {0x53, 0x80} and (data[1] == 0x80 or 0x70 <= data[2] <= 0x78)


def _outgoing(event: Event) -> Message:
    raw, key = event.message
    message = Message()
    message.decode(raw)
    told = dict(message.annotations or {})
    if key:
        told[symbol("x-opt-partition-key")] = key
    told[symbol("x-opt-sequence-number")] = event.number
    told[symbol("x-opt-offset")] = event.offset
    told[symbol("x-opt-enqueued-time")] = timestamp(event.time_ms)
    message.annotations = told
    message.inferred = True
    return message
