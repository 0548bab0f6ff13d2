"""Parity: what is recorded goes through Kafka and the handlers, and comes to the records of the local runtime."""

import logging

import pytest

from tests.lambdas.lambda_world import LambdaWorld
from tests.simulator.parity import HARD, compare
from tests.simulator.scenario import PARTITIONS
from tests.simulator.world import CALM
from watchkeeper.memory import memory_ports
from watchkeeper_aws.kafka_events import message_of


@pytest.fixture(autouse=True)
def _log_as_it_was():
    """The functions write their log lines in a form of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root_handlers = list(handlers)
    yield
    root.handlers, root.level = root_handlers, level


def in_memory(receivers, writer):
    return memory_ports(PARTITIONS, language_model=writer, receivers=receivers)


def test_a_recorded_day_through_kafka_and_the_functions_is_what_the_local_runtime_makes_of_it(make_stack_ports):
    compare(LambdaWorld, make_stack_ports, CALM)


def test_that_holds_with_functions_that_die_and_services_that_are_away():
    happened = compare(LambdaWorld, in_memory, HARD)
    assert {kind.split()[0] for kind in happened} == {"crash", "outage", "rival", "rewind", "conflict"}
    assert len(happened) > 40


def test_the_comparison_sees_what_a_handler_loses(monkeypatch):
    def without_headers(record):
        return message_of(record)._replace(headers={})

    monkeypatch.setattr("watchkeeper_aws.kafka_events.message_of", without_headers)
    with pytest.raises(AssertionError, match="the functions went wrong"):
        compare(LambdaWorld, in_memory, CALM)
