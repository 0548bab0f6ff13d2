"""docs/aws.md and docs/kafka.md agree with the code."""

import re

import msgspec
import pytest

from tests.docs.pages import page
from watchkeeper.pipeline import PIPELINE
from watchkeeper_adapters.claim_check import LARGEST
from watchkeeper_adapters.cloud import file_trigger, observing
from watchkeeper_adapters.kafka.membership import SESSION_MS
from watchkeeper_adapters.kafka.topics import RETENTION_MS
from watchkeeper_aws import function, services, settings
from watchkeeper_local.kafka_work import GROUP

TEXT, KAFKA = page("docs/aws.md"), page("docs/kafka.md")


def row(first):
    """The cells of the row that begins so."""
    (found,) = [line for line in TEXT.splitlines() if line.startswith(f"| {first}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_every_setting_of_a_function_is_told_of_and_no_other():
    told = set(re.findall(r"`(WATCHKEEPER_[A-Z_]+)`", TEXT))
    own = {field.name for field in msgspec.structs.fields(settings.Settings)} - {"region", "endpoint"}
    assert told == {settings.PREFIX + name.upper() for name in own}
    assert {settings.REGION, settings.ENDPOINT} <= set(re.findall(r"`(AWS_[A-Z_]+)`", TEXT))


def test_defaults_are_those_of_the_code():
    usual = settings.Settings()
    assert f"nothing more is begun ({usual.reserve_ms}); tries of each request to AWS ({usual.aws_tries})" in TEXT
    assert f"seconds a call may take ({usual.kafka_timeout_s:g})" in TEXT
    assert services.TRIES == usual.aws_tries == 4
    assert f"of over {LARGEST // 1000} KB" in TEXT
    assert f"of over {file_trigger.LARGEST // 10**6} MB is said" in TEXT
    assert set(file_trigger.FORMS) == set(re.findall(r"`(?:inbox/TENANT/NAME)?(\.[a-z]+)`", TEXT))


def test_triggers_follow_from_the_pipeline():
    taking = [stage.name for stage in PIPELINE if stage.topics]
    assert row("MSK event source mapping")[1] == f"those with topics: {', '.join(taking)}"
    timed = [stage.name for stage in PIPELINE if stage.timer and (stage.tick or stage.name == "retrain")]
    assert row("EventBridge Scheduler")[1] == f"those with a timer: {', '.join(timed)}"
    assert row("SNS, from AWS Budgets")[1] == "budget_cutoff"
    assert "ping" in (function.StageFunction.__doc__ or "")


@pytest.mark.parametrize("name", list(observing.COUNTED))
def test_metrics_are_named(name):
    assert f"`{name}`" in TEXT


def test_the_page_on_kafka_says_what_is_so():
    assert f"`{GROUP}`" in KAFKA
    assert f"missed after {SESSION_MS // 1000} seconds" in KAFKA
    assert f"made with {RETENTION_MS // 86_400_000} days" in KAFKA
    assert f"of over {LARGEST // 1000} KB" in KAFKA
