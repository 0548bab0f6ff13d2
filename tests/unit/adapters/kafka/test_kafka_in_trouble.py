"""Kafka away, slow, or asked for what cannot be; over a real broker."""

import itertools
import logging
import time

import pytest

from tests.emulators.servers import noida
from tests.ports import free_port
from watchkeeper.errors import ConfigError, Refused, Unavailable
from watchkeeper.ports import Message
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, RULE_CHECK_OUTPUT, TOPICS
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.reading import ENOUGH
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics

TOPIC, OTHER = DATA_PROCESSING_OUTPUT.name, RULE_CHECK_OUTPUT.name
PATIENCE_S = 1.0
numbers = itertools.count()


@pytest.fixture
def connection(kafka_server):
    return Connection(brokers=kafka_server.address)


@pytest.fixture
def prefix(connection):
    name = f"trouble-{next(numbers)}-"
    make_topics(connection, 2, prefix=name)
    return name


@pytest.fixture
def stream(connection, prefix):
    stream = KafkaStream(connection, prefix=prefix)
    yield stream
    stream.close()


def values(messages):
    return [message.value for message in messages]


def after_all(ask):
    """What is answered in the end: each client finds its way back in its own time."""
    until = time.monotonic() + 15
    while True:
        try:
            return ask()
        except Unavailable:
            assert time.monotonic() < until


def test_while_nobody_answers_everything_is_unavailable_in_time():
    stream = KafkaStream(Connection(brokers=f"127.0.0.1:{free_port()}", timeout_s=PATIENCE_S), partitions=2)
    for ask in (
        lambda: stream.append(TOPIC, [Message(0, b"")]),
        lambda: stream.read(TOPIC, 0, -1, 10),
        lambda: stream.commit("clean", TOPIC, 0, 7),
        lambda: KafkaStream(Connection(brokers="127.0.0.1:9", timeout_s=PATIENCE_S)).partitions(TOPIC),
    ):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="Kafka"):
            ask()
        assert time.monotonic() - began < PATIENCE_S + 3


def test_after_an_outage_it_goes_on_where_it_was(tmp_path, kafka_server):
    with noida(tmp_path) as server:
        connection = Connection(brokers=server.address, timeout_s=PATIENCE_S)
        make_topics(connection, 2)
        stream = KafkaStream(connection)
        stream.append(TOPIC, [Message(0, b"before")])
        assert values(stream.read(TOPIC, 0, -1, 10)) == [b"before"]
        with server.paused():
            with pytest.raises(Unavailable):
                stream.append(TOPIC, [Message(0, b"during")])
            with pytest.raises(Unavailable):
                stream.commit("clean", TOPIC, 0, 0)
        after_all(lambda: stream.append(TOPIC, [Message(0, b"after")]))
        assert after_all(lambda: values(stream.read(TOPIC, 0, -1, 10)))[-1] == b"after"
        after_all(lambda: stream.commit("clean", TOPIC, 0, 0))
        assert stream.committed("clean", TOPIC, 0) == 0
        stream.close()


def test_a_topic_that_is_not_there_is_waited_for(connection):
    stream = KafkaStream(Connection(brokers=connection.brokers, timeout_s=PATIENCE_S), prefix="nowhere-", partitions=2)
    with pytest.raises(Unavailable):
        stream.read(TOPIC, 0, -1, 10)


def test_a_message_too_large_is_refused_before_any_of_the_batch_is_sent(stream):
    with pytest.raises(Refused, match="Kafka takes 900,000"):
        stream.append(TOPIC, [Message(0, b"small"), Message(0, bytes(900_001))])
    assert stream.read(TOPIC, 0, -1, 10) == []


def test_what_others_append_is_seen_soon(stream, connection, prefix):
    stream.append(TOPIC, [Message(0, b"mine")])
    (mine,) = stream.read(TOPIC, 0, -1, 10)
    other = KafkaStream(connection, prefix=prefix)
    other.append(TOPIC, [Message(0, b"theirs")])
    until = time.monotonic() + 5
    while not (seen := stream.read(TOPIC, 0, mine.offset, 10)):
        assert time.monotonic() < until
    assert values(seen) == [b"theirs"]


def test_partitions_that_nobody_reads_do_not_fill_the_memory(stream):
    for topic in (TOPIC, OTHER):
        for _ in range(3):
            stream.append(topic, [Message(0, b"%d" % number) for number in range(ENOUGH)])
        assert len(stream.read(topic, 0, -1, 1)) == 1
    position, got = 0, 1
    while read := stream.read(TOPIC, 0, position, 100):
        position, got = read[-1].offset, got + len(read)
    time.sleep(0.2)
    stream.read(TOPIC, 0, position, 1)
    waiting = len(stream._reading._places[stream.name(OTHER), 0].waiting)
    assert got == 3 * ENOUGH
    assert waiting < 2 * ENOUGH
    assert len(stream.read(OTHER, 0, 0, 10_000)) == 3 * ENOUGH - 1


def test_messages_deleted_before_they_were_taken_are_said(stream, connection, caplog):
    stream.append(TOPIC, [Message(0, b"%d" % number) for number in range(10)])
    reading = stream._reading
    reading._consumer()
    marks = type("Marks", (), {"get_watermark_offsets": lambda *_, **__: (5, 10)})()
    caplog.set_level(logging.ERROR)
    real = reading._made

    class Short:
        def __getattr__(self, name):
            return getattr(marks if name == "get_watermark_offsets" else real, name)

    reading._made = Short()
    assert values(stream.read(TOPIC, 0, 2, 10)) == [b"%d" % number for number in range(5, 10)]
    assert "2 messages were deleted before they were taken" in caplog.text
    reading._made = real


def test_a_key_that_is_not_ours_is_a_message_all_the_same(connection, prefix, stream):
    """The device hub's keys are its own."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": connection.brokers})
    for key in (b"pump-07", None, b"\xff", b"123456789012345"):
        producer.produce(prefix + TOPIC, b"x", key, 0, headers={"device": "pump-07", "none": None})
    producer.flush(5)
    assert {(m.shard, m.headers["device"]) for m in stream.read(TOPIC, 0, -1, 10)} == {(0, "pump-07")}


def test_topics_are_made_once_and_a_wrong_number_of_partitions_is_said(connection):
    assert sorted(make_topics(connection, 3, prefix="made-")) == sorted("made-" + name for name in TOPICS)
    assert make_topics(connection, 3, prefix="made-") == []
    with pytest.raises(ConfigError, match=r"topic made-[a-z-]+ has 3 partitions and should have 4"):
        make_topics(connection, 4, prefix="made-")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"brokers": ""}, "no brokers are named"),
        ({"security": "scram", "user": "wk"}, "user and a password"),
        ({"user": "wk", "password": "x"}, "go with security scram"),
        ({"security": "token"}, "who makes the tokens"),
        ({"ca": "ca.pem"}, "authority to trust is of no use"),
    ],
)
def test_a_connection_that_cannot_be_is_said(wrong, says):
    with pytest.raises(ConfigError, match=says):
        Connection(**({"brokers": "127.0.0.1:9092"} | wrong)).options()


def test_users_and_tokens_go_only_over_tls():
    scram = Connection(brokers="b:9096", security="scram", user="wk", password="s").options()
    assert (scram["security.protocol"], scram["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    token = Connection(brokers="b:9098", security="token", token=lambda: ("t", 1.5)).options()
    assert (token["security.protocol"], token["sasl.mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert token["oauth_cb"]("") == ("t", 1.5)
