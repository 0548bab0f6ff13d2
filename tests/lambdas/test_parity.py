"""Parity: what is recorded goes through Kafka and the handlers, and comes to the records of the local runtime."""

import functools
import logging
import tempfile
from pathlib import Path

import pytest

from tests.lambdas.lambda_world import LambdaWorld
from tests.simulator.checks import failure
from tests.simulator.faults import Fault
from tests.simulator.results import results_of, wrong_in
from tests.simulator.scenario import PARTITIONS, SHARDS, STORIES, Scenario, Story
from tests.simulator.world import CALM, Disturbance, World
from watchkeeper.memory import memory_ports
from watchkeeper_aws.kafka_events import message_of
from watchkeeper_local.sqlite import open_ports

DAY = Scenario(tuple(Story(kind, 2 + number % 4, 8) for number, kind in enumerate(STORIES)))
HARD = Disturbance(
    tuple(Fault(143, kind, 3) for _ in range(12) for kind in ("crash", "outage", "rival", "rewind", "conflict")),
    cuts=(1, 7, 64),
    steps=(2, 5),
    copies=4,
)


@pytest.fixture(autouse=True)
def _log_as_it_was():
    """The functions write their log lines in a form of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root_handlers = list(handlers)
    yield
    root.handlers, root.level = root_handlers, level


@functools.cache
def locally():
    """What the local runtime makes of it, over SQLite."""
    with tempfile.TemporaryDirectory() as folder:

        def make(receivers, writer):
            return open_ports(
                Path(folder), partitions=PARTITIONS, shards=SHARDS, language_model=writer, receivers=receivers
            )

        world = World(make, CALM, transactional=True).run(DAY)
        results = results_of(world, DAY.told())
        world.ports.close()
        return results


def compare(make_ports, disturbance):
    told = DAY.told()
    world = LambdaWorld(make_ports, disturbance).run(DAY)
    results = results_of(world, told)
    wrong = wrong_in(world, results, told) + results.differences(locally())
    assert not wrong, failure("the functions", DAY, disturbance, wrong, world.faults.done)
    assert results.alerts
    assert results.dead
    return world.faults.done


def test_a_recorded_day_through_kafka_and_the_functions_is_what_the_local_runtime_makes_of_it(make_stack_ports):
    compare(make_stack_ports, CALM)


def test_that_holds_with_functions_that_die_and_services_that_are_away():
    def make(receivers, writer):
        return memory_ports(PARTITIONS, language_model=writer, receivers=receivers)

    happened = compare(make, HARD)
    assert {kind.split()[0] for kind in happened} == {"crash", "outage", "rival", "rewind", "conflict"}
    assert len(happened) > 40


def test_the_comparison_sees_what_a_handler_loses(monkeypatch):
    def without_headers(record):
        return message_of(record)._replace(headers={})

    def make(receivers, writer):
        return memory_ports(PARTITIONS, language_model=writer, receivers=receivers)

    monkeypatch.setattr("watchkeeper_aws.kafka_events.message_of", without_headers)
    with pytest.raises(AssertionError, match="the functions went wrong"):
        compare(make, CALM)
