"""Two containers of a function that hold the same partition, since the mapping was divided anew between pollers."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.emulators.aws import new_alert_queue
from tests.emulators.two_at_once import KEEPING, PATIENCE_S, Held, at_once, overtaken, run_through, wrong_of
from tests.lambdas.conftest import PARTITIONS, SHARDS
from tests.lambdas.events import from_msk
from watchkeeper.records import Severity
from watchkeeper.topology import DASHBOARD_ALERTS

NOW = int(time.time() * 1000)
ALONE = ("clean", "rag_explain")  # held to the same on Azure; here each container is a process
TWICE = [stage for stage in KEEPING if stage not in ALONE]


class TwoContainers:
    """Two processes for each function, in the real runtime; `said` is what has come of the topics of alerts."""

    receiver, partitions, shards = "sns", PARTITIONS, SHARDS

    def __init__(self, stack, queue):
        self._stack, self.between, self.ports = stack, stack.between, stack.ports
        arn, self._heard = queue
        self._got = []
        self._told = {"WATCHKEEPER_ALERT_TOPICS": json.dumps({str(severity): arn for severity in Severity})}

    def take(self, who, stage, topic, partition, messages):
        event = from_msk(topic, {partition: messages}, self._stack.environment["WATCHKEEPER_KAFKA_PREFIX"])
        failures = self._container(who, stage).invoke(event).value()["batchItemFailures"]
        return str(failures) if failures else ""

    def ring(self, who, stage):
        return self._container(who, stage).invoke({"timer": stage}).value()

    def messages(self, topic):
        return self._stack.messages(topic)

    def said(self, device):
        """Asked until nothing more comes."""
        while bodies := self._heard():
            self._got += [json.loads(json.loads(body)["Message"]) for body in bodies]
        return sorted((alert["id"], alert["status"]) for alert in self._got if alert["device"] == device)

    def _container(self, who, stage):
        return self._stack.function(stage, CONTAINER=str(who), **self._told)


@pytest.fixture(scope="module")
def queue(aws_server, stack):
    return new_alert_queue(aws_server, "two-at-once")


@pytest.fixture
def two(stack, queue):
    return TwoContainers(stack, queue)


@pytest.mark.parametrize("way", [at_once, overtaken])
def test_of_two_that_have_a_shard_one_loses_and_nothing_is_lost_or_doubled(two, way):
    device = f"pump-{way.__name__}"
    assert run_through(two, device, NOW, way, alone=ALONE).lost == dict.fromkeys(TWICE, 1)
    assert wrong_of(two, device, NOW) == []


def test_the_timer_leaves_alone_what_another_container_is_sending(two):
    alerts = run_through(two, "pump-slow", NOW, at_once, KEEPING[:-1], alone=KEEPING).alerts
    two.between.plan = publishing = Held(lambda asked: b"Action=Publish" in asked.body)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(two.take, 0, "notify", DASHBOARD_ALERTS.name, 0, alerts)
        assert publishing.come.wait(PATIENCE_S), sending.result(PATIENCE_S)
        try:
            assert two.ring(1, "notify") == {"ticked": 1, "waiting": 0}
        finally:
            publishing.let_go.set()
        assert sending.result(PATIENCE_S) == ""
    assert wrong_of(two, "pump-slow", NOW) == []
