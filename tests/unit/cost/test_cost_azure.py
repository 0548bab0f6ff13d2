"""What a month on Azure will cost: from the table, the load and the price book, and as one would reckon by hand."""

import dataclasses
import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cost.azure_estimate import estimate
from watchkeeper.cost.azure_prices import AZURE
from watchkeeper.cost.azure_stack import LARGE, MESSAGES_A_DAY, SMALL, stack_for
from watchkeeper.cost.estimate import HOURS, SECONDS
from watchkeeper.cost.flows import Assumptions, Load
from watchkeeper.cost.prices import PriceBook
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper_local import cli

LOADS = (Load(0, 0), Load(100, 100), Load(1000, 1000), Load(10_000, 10_000))
FREE = {"pubsub_Free_F1_month", "dashboard_Free_month"}


def month(load, stack=None, pipeline=PIPELINE, **assumed):
    return estimate(pipeline, load, stack or stack_for(load.readings_per_second), AZURE, Assumptions(**assumed))


def line(found, service):
    return next(line for line in found.lines if line.service == service)


class Asked(dict):
    """A price book's prices, which notes what was asked for."""

    def __init__(self):
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return 1.0


def test_everything_that_is_counted_has_a_price_and_nothing_else_has():
    asked = Asked()
    stacks = [stack_for(load.readings_per_second) for load in LOADS]
    stacks.append(msgspec.structs.replace(SMALL, cosmos="autoscale"))
    for load, stack in zip((*LOADS, LOADS[1]), stacks, strict=True):
        estimate(PIPELINE, load, stack, PriceBook("asked", "", "", asked))
    assert asked.names - FREE == set(AZURE.per_unit)


def test_without_readings_there_is_only_what_stands():
    found = month(LOADS[0])
    assert found.per_use == 0
    assert {line.service for line in found.lines if line.standing} >= {"IoT Hub", "Event Hubs", "Logs and alarms"}
    assert found.standing < 250


def test_the_hub_has_the_units_that_a_days_messages_need_and_no_dearer_ones():
    for rate in (0, 4, 100, 1000, 10_000):
        stack = stack_for(rate)
        assert stack.hub_units * MESSAGES_A_DAY[stack.hub_size] >= rate * 86_400
    assert (stack_for(4).hub_size, stack_for(4).hub_units) == ("S1", 1)
    assert (stack_for(10_000).hub_size, stack_for(10_000).hub_units) == ("S3", 3)
    assert (stack_for(10_000, 100).hub_size, stack_for(10_000, 100).hub_units) == ("S2", 2)


def test_streams_and_hub_cost_what_one_reckons_by_hand():
    found = month(LOADS[3])
    assert line(found, "IoT Hub").standing == pytest.approx(3 * 2500)
    units = line(found, "Event Hubs").standing / (HOURS * 0.030)
    assert units == pytest.approx(round(units))
    assert line(found, "Event Hubs").per_use > 10_000 * SECONDS * 0.028e-6, "each message of a device is one event"


def test_request_units_for_a_thousand_readings_are_within_the_goal():
    """At 10,000 devices that send each second: the goal is 200, and a design that writes each reading needs 8,500."""
    units = line(month(LOADS[3]), "Cosmos DB").per_use / AZURE.per_unit["cosmos_unit"]
    assert 20 < units / (10_000 * SECONDS) * 1000 < 200


@given(st.floats(0.01, 1e5), st.integers(0, 100_000))
def test_more_readings_and_more_devices_never_cost_less(rate, devices):
    found = month(Load(rate, devices), LARGE)
    assert month(Load(rate * 2, devices), LARGE).per_use >= found.per_use * (1 - 1e-9)
    assert month(Load(rate, devices * 2), LARGE).per_use >= found.per_use * (1 - 1e-9)
    assert all(line.standing >= 0 and line.per_use >= 0 for line in found.lines)


def test_autoscale_is_paid_for_by_the_hour_and_serverless_by_use():
    ready = msgspec.structs.replace(SMALL, cosmos="autoscale")
    assert line(month(LOADS[1], ready), "Cosmos DB").per_use == 0
    assert line(month(LOADS[1], ready), "Cosmos DB").standing == pytest.approx(40 * HOURS * 0.012 + 0.25)
    assert line(month(LOADS[1], SMALL), "Cosmos DB").per_use > 0


def test_more_partitions_cut_more_batches():
    many = msgspec.structs.replace(SMALL, partitions=8)
    assert line(month(LOADS[1], many), "Functions").per_use > 2 * line(month(LOADS[1], SMALL), "Functions").per_use


def test_it_follows_from_the_table():
    without = tuple(stage for stage in PIPELINE if stage.name != "store")
    assert (
        line(month(LOADS[2], pipeline=without), "Blob Storage").per_use < line(month(LOADS[2]), "Blob Storage").per_use
    )
    again = dataclasses.replace(STAGES["store"], name="store_again")
    assert month(LOADS[2], pipeline=(*PIPELINE, again)).per_use > month(LOADS[2]).per_use


def test_the_price_book_says_when_and_where_from():
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", AZURE.dated)
    assert "East US" in AZURE.source
    assert all(0 < price <= 2500 for price in AZURE.per_unit.values())


def test_the_command_shows_it_as_text_and_as_json(capsys):
    flags = ["cost", "azure", "--readings-per-second", "1000", "--devices", "200"]
    assert cli.main(flags) == 0
    text = capsys.readouterr().out
    assert cli.main([*flags, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert f"{data['standing']:,.2f}" in text
    assert f"{data['per_use']:,.2f}" in text
    assert data["stack"] in text
    assert AZURE.dated in text
    assert data["standing"] == pytest.approx(sum(service["standing"] for service in data["services"]))
