"""Event Hubs as its own client reads it, throttled, away, or silent about what it has taken; over AMQP."""

import gc
import itertools
import threading
import time

import pytest
from azure.eventhub import EventHubConsumerClient

from tests.emulators.azure import ReadBack, namespace_of, new_hubs
from tests.emulators.servers import event_hubs
from watchkeeper.errors import Refused, Unavailable
from watchkeeper.memory import MemoryBlobs
from watchkeeper.ports import Message
from watchkeeper.topology import DASHBOARD_ALERTS, DATA_PROCESSING_OUTPUT, DEAD_LETTER
from watchkeeper_adapters.claim_check import HEADER, ClaimChecked
from watchkeeper_azure.event_hubs import THREAD, EventHubsStream, Namespace

TOPIC = DATA_PROCESSING_OUTPUT.name
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _no_sockets_left():
    """The library leaves the sockets of connections that broke to be collected: not in another test, then."""
    yield
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(20)
    gc.collect()


@pytest.fixture
def prefix(hubs):
    return new_hubs(hubs, 4)


@pytest.fixture
def stream(hubs, prefix):
    stream = ReadBack(hubs, prefix, 4)
    yield stream
    stream.close()


def values(stream, partition, topic=TOPIC):
    return [message.value for message in stream.read(topic, partition, -1, 10_000)]


def received(server, hub, partition, count):
    """What a client of the library reads from the beginning of a partition."""
    client = EventHubConsumerClient.from_connection_string(server.connection, "$Default", eventhub_name=hub)
    found = []

    def take(_context, event):
        found.append(event)
        if event is None or len(found) == count:
            client.close()

    with client:
        client.receive(take, partition_id=str(partition), starting_position="-1", max_wait_time=10)
    return found


def test_what_was_sent_is_received_by_a_client_with_its_shard_and_headers(hubs, stream, prefix):
    stream.append(TOPIC, [Message(6, b"%d" % number, {"device": "Größe 1"}) for number in range(3)])
    events = received(hubs, prefix + TOPIC, 2, 3)
    assert [b"".join(event.body) for event in events] == [b"0", b"1", b"2"]
    assert [event.sequence_number for event in events] == [0, 1, 2]
    told = {name.decode(): value.decode() for name, value in events[0].properties.items()}
    assert told == {"device": "Größe 1", "shard": "6"}


def test_batches_are_filled_to_what_a_hub_takes(stream):
    sent = [bytes([number]) * 100_000 for number in range(25)]
    stream.append(TOPIC, [Message(1, value) for value in sent])
    assert values(stream, 1) == sent


def test_a_message_that_no_hub_takes_is_refused_and_those_before_it_are_there(stream):
    with pytest.raises(Refused, match="a message of 1,100,000 bytes; a batch has 1,048,576"):
        stream.append(TOPIC, [Message(1, b"small"), Message(1, bytes(1_100_000))])
    assert values(stream, 1) == [b"small"]


def test_a_large_dead_letter_lies_in_a_blob(hubs, prefix):
    blobs = MemoryBlobs()
    inner = ReadBack(hubs, prefix, 4)
    checked = ClaimChecked(inner, blobs)
    checked.append(DEAD_LETTER.name, [Message(1, bytes(5_000_000))])
    (stored,) = inner.read(DEAD_LETTER.name, 1, -1, 10)
    assert stored.value == b""
    assert blobs.list("") == [stored.headers[HEADER]]
    assert values(checked, 1, DEAD_LETTER.name) == [bytes(5_000_000)]
    inner.close()


def test_a_hub_that_is_busy_for_a_moment_is_not_noticed(hubs, stream):
    stream.append(TOPIC, [Message(1, b"one")])
    hubs.fail("busy", 1)
    stream.append(TOPIC, [Message(1, b"two")])
    assert values(stream, 1) == [b"one", b"two"]


def test_a_hub_that_stays_busy_is_unavailable(hubs, stream):
    hubs.fail("busy", 10**6)
    try:
        with pytest.raises(Unavailable, match=r"Event Hubs .*server-busy"):
            stream.append(TOPIC, [Message(1, b"one")])
    finally:
        hubs.fail("busy", 0)
    assert values(stream, 1) == []
    stream.append(TOPIC, [Message(1, b"two")])
    assert values(stream, 1) == [b"two"]


def test_a_batch_whose_answer_is_lost_is_sent_again_in_its_place(hubs, stream):
    """Who takes it knows the copy by its origin."""
    stream.append(TOPIC, [Message(1, b"one")])
    hubs.fail("lost", 1)
    stream.append(TOPIC, [Message(1, b"two"), Message(1, b"three")])
    stream.append(TOPIC, [Message(1, b"four")])
    found = values(stream, 1)
    assert found == [b"one", b"two", b"three", b"two", b"three", b"four"]
    assert [value for value, _ in itertools.groupby(sorted(found))] == [b"four", b"one", b"three", b"two"]


@pytest.mark.parametrize("partitions", [0, 4])
def test_a_hub_that_is_not_there_is_waited_for(hubs, partitions):
    stream = EventHubsStream(namespace_of(hubs), prefix="nowhere-", partitions=partitions)
    with pytest.raises(Unavailable, match=r"Event Hubs nowhere-data-processing-output: .*404"):
        stream.append(TOPIC, [Message(1, b"one")])
    stream.close()


def test_a_wrong_key_is_waited_for(hubs, prefix):
    wrong = hubs.connection.replace("SharedAccessKey=", "SharedAccessKey=x")
    stream = EventHubsStream(Namespace(connection=wrong), prefix=prefix, partitions=4)
    with pytest.raises(Unavailable, match="invalid signature"):
        stream.append(TOPIC, [Message(1, b"one")])
    stream.close()


def test_partitions_are_asked_for_where_they_are_not_known(hubs, prefix):
    stream = EventHubsStream(namespace_of(hubs), prefix=prefix)
    assert (stream.partitions(TOPIC), stream.partitions(DASHBOARD_ALERTS.name)) == (4, 1)
    stream.close()


def test_a_namespace_that_hangs_or_dies_is_unavailable_in_time_and_works_when_it_is_back(hubs, tmp_path):
    with event_hubs(tmp_path) as server:
        prefix = new_hubs(server, 4)
        stream = EventHubsStream(Namespace(connection=server.connection, timeout_s=1.0), prefix=prefix, partitions=4)
        stream.append(TOPIC, [Message(1, b"one")])
        with server.paused():
            began = time.monotonic()
            with pytest.raises(Unavailable, match="Event Hubs"):
                stream.append(TOPIC, [Message(1, b"two")])
            assert time.monotonic() - began < 8
        stream.append(TOPIC, [Message(1, b"three")])
        assert [body for _, body, _ in server.events(prefix + TOPIC, 1)][-1] == b"three"
        server.kill()
        began = time.monotonic()
        with pytest.raises(Unavailable, match="Event Hubs"):
            stream.append(TOPIC, [Message(1, b"four")])
        assert time.monotonic() - began < 8
        stream.close()


def test_what_only_the_host_does_says_so(hubs, prefix):
    stream = EventHubsStream(namespace_of(hubs), prefix=prefix, partitions=4)
    for act in (
        lambda: stream.read(TOPIC, 0, -1, 1),
        lambda: stream.commit("clean", TOPIC, 0, 1),
        lambda: stream.committed("clean", TOPIC, 0),
    ):
        with pytest.raises(NotImplementedError, match="the host of the functions reads"):
            act()
