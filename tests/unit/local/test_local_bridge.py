"""The bridge is slowed and drops nothing: what it does not take stays with the broker."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ports import free_ports
from watchkeeper.errors import ConfigError
from watchkeeper.memory import memory_ports
from watchkeeper.topology import DEVICE_TELEMETRY
from watchkeeper_local.bridge import Bridge
from watchkeeper_local.broker import start_broker
from watchkeeper_local.paces import Paces
from watchkeeper_local.settings import Settings, read_settings
from watchkeeper_local.sources.send import open_sender


@pytest.fixture
def broker(tmp_path):
    port = free_ports()[1]
    running = start_broker(Settings(data_dir=str(tmp_path), mqtt_port=port))
    yield f"mqtt://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def make_bridge(broker):
    made = []

    def make(**options):
        ports = memory_ports(1)
        bridge = Bridge(broker, ports, shards=1, **options)
        bridge.start()
        made.append(bridge)
        return bridge, lambda: [
            (item.headers["device"], item.value) for item in ports.stream.read(DEVICE_TELEMETRY.name, 0, -1, 10_000)
        ]

    yield make
    for bridge in made:
        bridge.stop()


def send(broker, device, count):
    with open_sender(broker) as sender:
        sender.send([{"device": device, "ts": 1_709_294_400_000 + i, "values": {"v": i}} for i in range(count)])


def wait_for(what, seconds=10.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.02)
    return False


def test_while_the_pipeline_lags_nothing_is_taken_and_afterwards_all_of_it(broker, make_bridge):
    lagging = threading.Event()
    lagging.set()
    _, stored = make_bridge(lag=lambda: 100 if lagging.is_set() else 0, most_lag=50)
    send(broker, "pump-1", 700)
    time.sleep(0.5)
    assert stored() == []
    lagging.clear()
    assert wait_for(lambda: len(stored()) == 700)
    assert len({value for _, value in stored()}) == 700


def test_what_was_not_taken_comes_again_after_a_restart(broker, make_bridge):
    bridge, stored = make_bridge(lag=lambda: 100, most_lag=50)
    bridge._stop.wait = lambda seconds=None: time.sleep(0.01)  # held back until the very end
    send(broker, "pump-1", 50)
    time.sleep(0.3)
    bridge._client.disconnect()
    bridge._client.loop_stop()
    assert stored() == []
    _, stored_later = make_bridge()
    assert wait_for(lambda: len(stored_later()) == 50)


def test_a_device_that_is_too_fast_is_slowed_in_its_order_and_loses_nothing(broker, make_bridge):
    _, stored = make_bridge(device_rate=40)
    send(broker, "fast", 90)
    send(broker, "slow", 5)
    assert wait_for(lambda: sum(device == "slow" for device, _ in stored()) == 5, 2.0)
    assert sum(device == "fast" for device, _ in stored()) < 90
    assert wait_for(lambda: len(stored()) == 95)
    fast = [value for device, value in stored() if device == "fast"]
    assert fast == sorted(fast, key=lambda value: (len(value), value))


def test_a_pace_for_devices_needs_a_broker_that_keeps_them_waiting():
    with pytest.raises(ConfigError, match="mqtt_device_rate needs mqtt_broker"):
        read_settings({"mqtt_device_rate": "5"}, {})
    assert read_settings({"mqtt_device_rate": "5", "mqtt_broker": "mqtt://h"}, {}).mqtt_device_rate == 5.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.5)), max_size=80), st.floats(1, 50))
def test_nobody_goes_faster_than_the_pace_and_everything_comes_through_in_order(sent, rate):
    now = [0.0]
    paces = Paces(rate, lambda: now[0])
    taken = []
    for number, (device, gap) in enumerate(sent):
        now[0] += gap
        paces.put(device, (device, number))
        taken += [(now[0], item) for item in paces.due(1_000)]
    while len(paces):
        now[0] += 0.5
        taken += [(now[0], item) for item in paces.due(1_000)]
    for device in "abc":
        mine = [(when, number) for when, (whose, number) in taken if whose == device]
        assert [number for _, number in mine] == [number for number, (whose, _) in enumerate(sent) if whose == device]
        for first, (begun, _) in enumerate(mine):
            for last, (ended, _) in enumerate(mine[first:], first):
                assert last - first + 1 <= max(1.0, rate) + rate * (ended - begun) + 1e-6
