"""Two instances of an app that hold the same partition, since one has lost its lease: nothing lost, nothing doubled."""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.azure_functions.azure_world import LATE
from tests.azure_functions.conftest import PARTITIONS, SHARDS
from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import FunctionsWorker, datum
from tests.emulators.two_at_once import KEEPING, PATIENCE_S, at_once, overtaken, run_through, wrong_of
from watchkeeper.memory import MemoryReceiver
from watchkeeper.outcome import ANYWAY
from watchkeeper.topology import DASHBOARD_ALERTS
from watchkeeper_azure.app import open_app
from watchkeeper_azure.blobs import AzureBlobs
from watchkeeper_azure.container import Container

NOW = int(time.time() * 1000)


class Phone(MemoryReceiver):
    """Takes its time with the first alert if it is asked to: `rings`, and then until `answered`."""

    def __init__(self):
        super().__init__(TwoApps.receiver)
        self.rings, self.answered = threading.Event(), threading.Event()
        self.slow = False

    def send(self, alert):
        if self.slow and not self.rings.is_set():
            self.rings.set()
            assert self.answered.wait(PATIENCE_S)
        super().send(alert)


class TwoApps:
    """Two instances, each with all that a process holds."""

    receiver, partitions, shards = "phone", PARTITIONS, SHARDS

    def __init__(self, stack):
        self._stack, self.between, self.ports = stack, stack.blobs, stack.ports
        self.phone = Phone()
        self._containers = [Container(stack.settings) for _ in range(2)]
        for container in self._containers:
            receivers = {self.phone.name: self.phone}
            container.__dict__["ports"] = dataclasses.replace(container.open_ports(), receivers=receivers)
        self._workers = [FunctionsWorker(open_app(lambda held=held: held, "")) for held in self._containers]

    def take(self, who, stage, topic, partition, messages):
        events, metadata = batch_of(topic, partition, messages, stage)
        return self._workers[who].invoke(f"{stage}_{topic.replace('-', '_')}", "events", events, metadata).error

    def ring(self, who, stage):
        return self._workers[who].invoke(f"{stage}_timer", "timer", datum(LATE, "json")).error

    def messages(self, topic):
        return self._stack.messages(topic)

    def said(self, device):
        return sorted((alert.id, alert.status) for alert in self.phone.alerts if alert.device == device)

    def close(self):
        for container in self._containers:
            container.close()


@pytest.fixture
def two(stack, quick_links):
    apps = TwoApps(stack)
    yield apps
    apps.close()


@pytest.mark.parametrize("way", [at_once, overtaken])
def test_of_two_that_have_a_shard_one_loses_and_nothing_is_lost_or_doubled(two, way):
    device = f"pump-{way.__name__}"
    assert run_through(two, device, NOW, way).lost == dict.fromkeys(KEEPING, 1)
    assert wrong_of(two, device, NOW) == []


def test_without_the_condition_on_writes_readings_are_lost(two, monkeypatch):
    put = AzureBlobs.put
    monkeypatch.setattr(AzureBlobs, "put", lambda self, key, data, _expect=ANYWAY: put(self, key, data))
    assert run_through(two, "pump-unconditional", NOW, overtaken).lost == dict.fromkeys(KEEPING, 0)
    assert "readings, 60 were sent" in wrong_of(two, "pump-unconditional", NOW)[0]


def test_the_timer_of_another_instance_leaves_alone_what_is_being_sent(two):
    alerts = run_through(two, "pump-slow", NOW, at_once, KEEPING[:-1]).alerts
    two.phone.slow = True
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(two.take, 0, "notify", DASHBOARD_ALERTS.name, 0, alerts)
        assert two.phone.rings.wait(PATIENCE_S), sending.result(PATIENCE_S)
        try:
            assert two.ring(1, "notify") == ""
        finally:
            two.phone.answered.set()
        assert sending.result(PATIENCE_S) == ""
    assert wrong_of(two, "pump-slow", NOW) == []
