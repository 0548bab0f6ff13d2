"""A cluster that speaks TLS and asks for a login: who gets in, and what those are told who do not."""

import itertools
import logging
import time

import pytest

from tests.emulators.certificates import make_certificate
from tests.emulators.kafka_door import door
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.ports import Message
from watchkeeper.topology import DATA_PROCESSING_OUTPUT
from watchkeeper_adapters.kafka import voice
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics
from watchkeeper_local.kafka_work import connection_of
from watchkeeper_local.settings import read_settings

USER, PASSWORD = "worker, night=1", "right: not to be told"
TOPIC = DATA_PROCESSING_OUTPUT.name
numbers = itertools.count()


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path, "broker")


@pytest.fixture
def entrance(kafka_server, certificate):
    with door(kafka_server.address, certificate, USER, PASSWORD) as made:
        yield made


def secured(entrance, certificate, password=PASSWORD, timeout_s=10.0):
    return Connection(
        brokers=entrance.address,
        security="scram",
        user=USER,
        password=password,
        ca=str(certificate.path),
        timeout_s=timeout_s,
    )


def refused(connection):
    began = time.monotonic()
    with pytest.raises(ConfigError) as told:
        make_topics(connection, 1)
    assert time.monotonic() - began < connection.timeout_s / 2
    assert PASSWORD not in str(told.value)
    return str(told.value)


def test_what_work_is_given_logs_in_by_tls_and_scram_and_writes_and_reads(entrance, certificate):
    environment = {"WATCHKEEPER_KAFKA_PASSWORD": PASSWORD}
    flags = {"kafka": entrance.address, "kafka_user": USER, "kafka_ca": str(certificate.path)}
    connection, prefix = connection_of(read_settings(flags, environment)), f"login-{next(numbers)}-"
    make_topics(connection, 1, prefix=prefix)
    stream = KafkaStream(connection, prefix=prefix)
    stream.append(TOPIC, [Message(0, b"by TLS", {})])
    assert [message.value for message in stream.read(TOPIC, 0, -1, 10)] == [b"by TLS"]
    stream.commit("clean", TOPIC, 0, 0)
    assert stream.committed("clean", TOPIC, 0) == 0
    stream.close()
    assert entrance.entered >= 3
    assert entrance.refused == []


def test_a_wrong_password_is_told_soon_with_what_to_check(entrance, certificate):
    told = refused(secured(entrance, certificate, "wrong"))
    assert USER in told
    assert "check the user, its password" in told
    assert "wrong" not in told
    assert entrance.entered == 0
    assert set(entrance.refused) == {"invalid credentials"}


def test_a_password_that_is_changed_meanwhile_loses_nothing(entrance, certificate, kafka_server):
    prefix = f"login-{next(numbers)}-"
    make_topics(Connection(brokers=kafka_server.address), 1, prefix=prefix)
    locked_out = KafkaStream(secured(entrance, certificate, "of yesterday", timeout_s=1.0), prefix=prefix, partitions=1)
    message = Message(0, b"kept", {})
    with pytest.raises(Unavailable, match="is refused: check the user, its password"):
        locked_out.append(TOPIC, [message])
    locked_out.close()
    stream = KafkaStream(secured(entrance, certificate), prefix=prefix)
    assert stream.read(TOPIC, 0, -1, 10) == []
    stream.append(TOPIC, [message])
    assert [stored.value for stored in stream.read(TOPIC, 0, -1, 10)] == [b"kept"]
    stream.close()


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == voice.__name__]


def told_of_refusals(caplog):
    """A busy machine may have a client say as well that it waited too long."""
    return [line for line in lines(caplog) if "is refused" in line]


def test_who_is_locked_out_says_so_once_a_minute_with_what_to_do(entrance, certificate, caplog, monkeypatch):
    connection = secured(entrance, certificate, "of yesterday", timeout_s=1.0)
    stream = KafkaStream(connection, prefix="locked-out-", partitions=1)
    for _ in range(2):
        with pytest.raises(Unavailable):
            stream.append(TOPIC, [Message(0, b"kept", {})])
    assert len(entrance.refused) > 4
    (line,) = told_of_refusals(caplog)
    assert f"user {USER!r} is refused: check the user, its password" in line
    assert "SASL authentication error" in line
    assert "of yesterday" not in line
    monkeypatch.setattr(voice, "QUIET_S", 0.0)
    with pytest.raises(Unavailable):
        stream.append(TOPIC, [Message(0, b"kept", {})])
    stream.close()
    assert len(told_of_refusals(caplog)) > 2
    assert " lines that say the same were left out)" in told_of_refusals(caplog)[1]


def test_what_is_something_else_is_said_at_once(caplog):
    said = voice.Voice()
    away = "[thrd:{0}/1]: {0}/1: Connect to ipv4#{0} failed: {1} (after {2}ms in state CONNECT)"
    for text in (
        ("b1:9092", "Connection refused", 3),
        ("b1:9092", "Connection refused", 4),
        ("b1:9092", "No route", 3),
    ):
        said.say(logging.ERROR, away.format(*text), "")
    assert ["No route" in line for line in lines(caplog)] == [False, True]
    for number in range(3 * voice.KINDS):
        said.say(logging.ERROR, "x" * number, "")
    assert len(said._said) <= voice.KINDS


def test_who_speaks_in_the_clear_is_told_of_tls(entrance):
    with pytest.raises(Unavailable, match="if the cluster speaks TLS or asks for a login: kafka_tls"):
        make_topics(Connection(brokers=entrance.address, timeout_s=1.0), 1)
    assert entrance.entered == 0


def test_who_does_not_log_in_does_not_get_in(entrance, certificate):
    by_tls = Connection(brokers=entrance.address, security="tls", ca=str(certificate.path), timeout_s=1.0)
    with pytest.raises(Unavailable):
        make_topics(by_tls, 1)
    assert entrance.entered == 0
    assert "before a login" in entrance.refused[0]


def test_a_certificate_of_another_authority_is_refused(entrance, tmp_path):
    told = refused(secured(entrance, make_certificate(tmp_path, "somebody else")))
    assert "kafka_ca" in told
    assert entrance.entered == 0
    assert entrance.refused == []  # not even the user's name was said


def test_a_server_that_does_not_know_the_password_is_refused(kafka_server, certificate):
    with door(kafka_server.address, certificate, USER, "guessed", impostor=True) as impostor:
        assert "is refused" in refused(secured(impostor, certificate))
