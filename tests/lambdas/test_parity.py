"""Parity: what is recorded goes through Kafka and the handlers, and comes to the records of the local runtime."""

import logging

import pytest

from tests.lambdas.lambda_world import LambdaWorld
from tests.simulator.checks import in_memory
from tests.simulator.parity import HARD, STEADY, compare, locally, plant, sees_all
from tests.simulator.views import lacking
from watchkeeper_aws.kafka_events import message_of


@pytest.fixture(autouse=True)
def _log_as_it_was():
    """The functions write their log lines in a form of their own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root_handlers = list(handlers)
    yield
    root.handlers, root.level = root_handlers, level


def test_the_recorded_day_has_records_of_every_kind():
    view = locally()[1]
    assert lacking(view) == []
    assert lacking({where: each for where, each in view.items() if "/forecast" not in where}) == ["a forecast"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_recorded_day_through_kafka_dynamodb_and_s3_is_what_the_local_runtime_makes_of_it(make_aws_ports):
    world = compare(LambdaWorld, make_aws_ports, STEADY)
    assert sees_all(plant(world))


def test_that_holds_with_functions_that_die_and_services_that_are_away():
    happened = compare(LambdaWorld, in_memory, HARD).faults.done
    assert {kind.split()[0] for kind in happened} == {"crash", "outage", "rival", "rewind", "conflict"}
    assert len(happened) > 40


def test_the_comparison_sees_what_a_handler_loses(monkeypatch):
    def without_headers(record):
        return message_of(record)._replace(headers={})

    monkeypatch.setattr("watchkeeper_aws.kafka_events.message_of", without_headers)
    with pytest.raises(AssertionError, match="the functions went wrong"):
        compare(LambdaWorld, in_memory, STEADY)
