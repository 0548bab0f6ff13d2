"""What a month on AWS will cost: from the table, the load and the price book, and as one would reckon by hand."""

import dataclasses
import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cost.aws_estimate import estimate
from watchkeeper.cost.aws_prices import AWS
from watchkeeper.cost.aws_stack import LARGE, SMALL, stack_for
from watchkeeper.cost.estimate import HOURS, SECONDS
from watchkeeper.cost.flows import Assumptions, Load, flows_of
from watchkeeper.cost.prices import PriceBook
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper_local import cli

LOADS = (Load(0, 0), Load(100, 100), Load(1000, 1000), Load(10_000, 10_000))


def month(load, stack=SMALL, pipeline=PIPELINE, **assumed):
    return estimate(pipeline, load, stack, AWS, Assumptions(**assumed))


def line(found, service):
    return next(line for line in found.lines if line.service == service)


class Asked(dict):
    """A price book's prices, which notes what was asked for."""

    def __init__(self):
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return 1.0


def test_everything_that_is_counted_has_a_price():
    asked = Asked()
    book = PriceBook("asked", "", "", asked)
    for load in LOADS:
        estimate(PIPELINE, load, stack_for(load.readings_per_second), book)
    assert asked.names - set(AWS.per_unit) == set()
    unused = set(AWS.per_unit) - asked.names
    assert {name for name in unused if not name.startswith("kafka.")} == set()


def test_without_readings_there_is_only_what_stands():
    found = month(Load(0, 0))
    assert found.per_use == 0
    assert found.per_million == 0
    assert {line.service for line in found.lines if line.standing} >= {"MSK", "Lambda pollers", "VPC endpoints"}


def test_the_hub_and_the_brokers_cost_what_one_reckons_by_hand():
    found = month(Load(10_000, 10_000), LARGE)
    messages = 10_000 * SECONDS
    assert line(found, "IoT Core").per_use == pytest.approx(messages * 0.30e-6 + 10_000 * HOURS * 60 * 0.08e-6)
    assert line(found, "MSK").standing == pytest.approx(3 * HOURS * 0.204 + 3 * found.volume_gb * 0.10)
    assert line(found, "VPC endpoints").standing == pytest.approx(3 * 3 * HOURS * 0.01)
    assert found.per_million == pytest.approx(found.per_use / (messages / 1e6))


def test_every_reading_goes_through_every_stage_of_the_readings_way():
    flows = list(flows_of(PIPELINE, Load(500, 50), SMALL, Assumptions()))
    for name in ("ingest", "clean", "rule_check", "ml_score", "store"):
        assert sum(flow.readings for flow in flows if flow.stage.name == name) == 500
    assert {(flow.stage.name) for flow in flows} == {stage.name for stage in PIPELINE if stage.topics}
    assert len(flows) == sum(len(stage.topics) for stage in PIPELINE)


@given(st.floats(0.01, 1e5), st.integers(0, 100_000))
def test_more_readings_and_more_devices_never_cost_less(rate, devices):
    found = month(Load(rate, devices))
    assert month(Load(rate * 2, devices)).per_use >= found.per_use
    assert month(Load(rate, devices * 2)).per_use >= found.per_use
    assert all(line.standing >= 0 and line.per_use >= 0 for line in found.lines)


@given(st.floats(0.001, 1e5))
def test_a_batch_holds_at_least_one_message_and_at_most_what_it_may(rate):
    for flow in flows_of(PIPELINE, Load(rate, 1), SMALL, Assumptions()):
        assert flow.invocations <= flow.messages * (1 + 1e-9)
        assert flow.messages <= max(flow.invocations * SMALL.batch_size, 0) * (1 + 1e-9)


def test_shards_and_short_windows_cost_states():
    dear = msgspec.structs.replace(SMALL, shards=64)
    hasty = msgspec.structs.replace(SMALL, batch_window_seconds=1)
    usual = line(month(LOADS[1]), "S3").per_use
    assert line(month(LOADS[1], dear), "S3").per_use > 6 * usual
    assert line(month(LOADS[1], hasty), "S3").per_use > 4 * usual


def test_devices_that_send_ten_readings_at_once_cost_a_tenth_at_the_hub():
    one, ten = month(LOADS[3], LARGE), month(LOADS[3], LARGE, readings_per_message=10)
    assert line(ten, "IoT Core").per_use < line(one, "IoT Core").per_use / 9
    assert line(month(LOADS[3], LARGE, readings_per_message=100), "IoT Core").per_use > 0.03 * 7884, "5 KB at a time"


def test_it_follows_from_the_table():
    without = tuple(stage for stage in PIPELINE if stage.name != "store")
    assert line(month(LOADS[2], pipeline=without), "S3").per_use < line(month(LOADS[2]), "S3").per_use
    again = dataclasses.replace(STAGES["store"], name="store_again")
    more = month(LOADS[2], pipeline=(*PIPELINE, again))
    assert line(more, "Lambda pollers").standing > line(month(LOADS[2]), "Lambda pollers").standing


def test_disks_are_as_large_as_what_must_be_kept():
    assert month(LOADS[1]).volume_gb == SMALL.kafka_volume_gb
    assert month(LOADS[3]).volume_gb > SMALL.kafka_volume_gb * 5


def test_per_use_a_million_readings_cost_less_than_half_a_dollar_at_ten_thousand_a_second():
    assert month(LOADS[3], LARGE).per_million < 0.50


def test_the_price_book_says_when_and_where_from():
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", AWS.dated)
    assert "us-east-1" in AWS.source
    assert all(0 < price < 300 for price in AWS.per_unit.values())


def test_the_command_shows_it_as_text_and_as_json(capsys):
    assert cli.main(["cost", "aws", "--readings-per-second", "1000", "--devices", "200"]) == 0
    text = capsys.readouterr().out
    assert cli.main(["cost", "aws", "--readings-per-second", "1000", "--devices", "200", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["load"] == {"readings_per_second": 1000, "devices": 200}
    assert f"{data['standing']:,.2f}" in text
    assert f"{data['per_use']:,.2f}" in text
    assert AWS.dated in text
    assert data["standing"] == pytest.approx(sum(service["standing"] for service in data["services"]))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["aws", "--readings-per-second", "-1"], "-1 is not a number from 0"),
        (["aws", "--devices", "many"], "invalid number value: 'many'"),
        (["aws", "--readings-per-message", "0"], "0 is less than one"),
        (["asw"], "invalid choice: 'asw'"),
    ],
)
def test_a_load_that_cannot_be_is_refused(flags, said, capsys):
    with pytest.raises(SystemExit):
        cli.main(["cost", *flags])
    assert said in capsys.readouterr().err
