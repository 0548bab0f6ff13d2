"""The MQTT sender against real brokers: every message acknowledged, refusals told, passwords and TLS."""

import json
import socket
import threading
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import free_port
from tests.unit.sources.servers import ROUTER, START, listener, some
from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_local.sources.fleet import Fleet
from watchkeeper_local.sources.send_mqtt import MqttSender


@pytest.fixture(scope="module")
def guarded_broker(tmp_path_factory):
    """A broker that asks for a password, with a listener for MQTT 3.1.1 and one for MQTT 5."""
    iotcore = pytest.importorskip("iotcore")
    ports = {"v4": free_port(), "v5": free_port()}
    auth = '[{version}.1.connections.auth]\nanna = "s:cret"\n'
    config = ROUTER + "".join(listener(version, port) + auth.format(version=version) for version, port in ports.items())
    file = tmp_path_factory.mktemp("broker") / "rumqttd.toml"
    file.write_text(config)
    with iotcore.Broker(config_path=str(file)):
        yield ports


class Subscriber:
    def __init__(self, port, user=None, password=None):
        self.messages = []
        ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"test-{time.monotonic_ns()}")
        self.client.username_pw_set(user, password)
        self.client.on_connect = lambda client, *_: client.subscribe("devices/+/telemetry", qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _, __, message: self.messages.append(
            (message.topic, json.loads(message.payload))
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(5)

    def take(self, count):
        until = time.monotonic() + 10
        while len(self.messages) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.messages

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.client.disconnect()
        self.client.loop_stop()


def test_mqtt_carries_every_reading_to_its_devices_topic_in_order(broker):
    readings = [reading for n in range(60) for reading in Fleet(5, n).step(START + n)]
    with Subscriber(broker.port) as subscriber, MqttSender(f"mqtt://127.0.0.1:{broker.port}") as sender:
        sent = sender.send(readings)
        got = subscriber.take(300)
    assert (sent.accepted, sent.rejected) == (300, 0)
    assert got == [
        (f"devices/{one['device']}/telemetry", {"ts": one["ts"], "values": one["values"], "tags": one["tags"]})
        for one in readings
    ]


def test_thousands_of_messages_are_all_acknowledged_and_leave_nothing_behind(broker):
    with MqttSender(f"mqtt://127.0.0.1:{broker.port}", in_flight=90) as sender:
        assert sum(sender.send(some(3500)).accepted for _ in range(2)) == 7000
        assert sender._answers == {}


def test_a_device_that_cannot_be_in_a_topic_is_rejected_and_its_neighbours_go(broker):
    bad = ["a/b", "a+", "#", "", "x" * 70_000, "\ud800"]
    with MqttSender(f"mqtt://127.0.0.1:{broker.port}") as sender:
        sent = sender.send([*some(1), *(some(1, name)[0] for name in bad), *some(1)])
    assert (sent.accepted, sent.rejected) == (2, len(bad))
    assert [one.index for one in sent.rejections] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("version", "name"), [("3.1.1", "v4"), ("5", "v5")])
def test_user_and_password_come_from_the_url_in_either_version(guarded_broker, version, name):
    url = f"mqtt://anna:s%3Acret@127.0.0.1:{guarded_broker[name]}"
    with MqttSender(url, version=version) as sender:
        assert sender.send(some(150)).accepted == 150


@pytest.mark.parametrize(("version", "name"), [("3.1.1", "v4"), ("5", "v5")])
def test_a_wrong_password_is_told_without_showing_it(guarded_broker, version, name):
    url = f"mqtt://anna:guess@127.0.0.1:{guarded_broker[name]}"
    refusal = f"mqtt://127.0.0.1:{guarded_broker[name]} refuses the connection .*check user and password"
    with pytest.raises(ConfigError, match=refusal) as caught:
        MqttSender(url, version=version)
    assert "guess" not in str(caught.value)


def test_a_broker_that_is_not_there_is_named_with_its_url():
    port = free_port()
    with pytest.raises(Unavailable, match=f"mqtt://127.0.0.1:{port} cannot be reached.*is a broker running"):
        MqttSender(f"mqtt://127.0.0.1:{port}")


def test_a_broker_that_dies_is_told_once_patience_ends():
    iotcore = pytest.importorskip("iotcore")
    broker = iotcore.Broker(port=free_port(), listen="127.0.0.1").start()
    with MqttSender(f"mqtt://127.0.0.1:{broker.port}", patience_s=0.5) as sender:
        assert sender.send(some(10)).accepted == 10
        broker.stop()
        with pytest.raises(Unavailable, match="10 messages are not acknowledged"):
            sender.send(some(10))


def test_messages_sent_while_the_broker_is_away_are_acknowledged_when_it_is_back():
    iotcore = pytest.importorskip("iotcore")
    port = free_port()
    first = iotcore.Broker(port=port, listen="127.0.0.1").start()
    with MqttSender(f"mqtt://127.0.0.1:{port}") as sender:
        sender.send(some(1))
        first.stop()
        second = iotcore.Broker(port=port, listen="127.0.0.1")
        back = threading.Timer(0.5, second.start)
        back.start()
        assert sender.send(some(20)).accepted == 20
        back.join()
    second.stop()


def test_a_server_that_speaks_no_mqtt_is_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match=r"is it MQTT 3\.1\.1"):
            MqttSender(f"mqtt://127.0.0.1:{port}", patience_s=0.3)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_mqtts_is_trusted_by_the_given_authority_only(tmp_path, certificate):
    iotcore = pytest.importorskip("iotcore")
    port = free_port()
    tls = f'tls = {{ certpath = "{certificate[0]}", keypath = "{certificate[1]}" }}\n'
    (tmp_path / "broker.toml").write_text(ROUTER + listener("v4", port, tls))
    with iotcore.Broker(config_path=str(tmp_path / "broker.toml")):
        with MqttSender(f"mqtts://127.0.0.1:{port}", ca_file=certificate[0]) as sender:
            assert sender.send(some(30)).accepted == 30
        with pytest.raises(Unavailable, match="certificate"):
            MqttSender(f"mqtts://127.0.0.1:{port}")
