"""docs/azure.md agrees with the code."""

import re

import msgspec
import pytest

from tests.docs.pages import page
from watchkeeper.pipeline import PIPELINE
from watchkeeper_adapters.claim_check import LARGEST
from watchkeeper_adapters.cloud import file_trigger, observing
from watchkeeper_azure import app, settings

TEXT = page("docs/azure.md")


def row(first):
    """The cells of the row that begins so."""
    (found,) = [line for line in TEXT.splitlines() if line.startswith(f"| {first}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_every_setting_of_an_app_is_told_of_and_no_other():
    told = set(re.findall(r"`(WATCHKEEPER_[A-Z_]+)`", TEXT))
    own = {field.name for field in msgspec.structs.fields(settings.Settings)} - {"client_id"}
    assert told == {settings.PREFIX + name.upper() for name in own}
    assert f"`{settings.IDENTITY}`" in TEXT
    assert f"`{app.EVENT_HUBS}__fullyQualifiedNamespace`" in TEXT


def test_defaults_are_those_of_the_code():
    usual = settings.Settings()
    assert f"nothing more is begun ({usual.reserve_ms})" in TEXT
    assert f"seconds a batch may take to be sent ({usual.event_hubs_timeout_s:g})" in TEXT
    assert f"of over {LARGEST // 1000} KB" in TEXT
    assert f"of over {file_trigger.LARGEST // 10**6} MB is said" in TEXT
    assert set(file_trigger.FORMS) == set(re.findall(r"`(?:inbox/TENANT/NAME)?(\.[a-z]+)`", TEXT))
    assert (app.TIMEOUT_S, app.RETRY_AFTER) == (600, "00:00:05")
    assert "of the ten minutes that `host.json` gives" in TEXT


def test_triggers_follow_from_the_pipeline():
    taking = ", ".join(stage.name for stage in PIPELINE if stage.topics)
    assert row("Event Hubs, many")[1].endswith(f"those with topics: {taking}")
    timed = ", ".join(stage.name for stage in PIPELINE if stage.timer and stage.name != app.NOT_HERE)
    assert row("a timer |")[1].endswith(f"those with a timer: {timed}")
    assert f"`POST /{app.BILL_ROUTE}`" in row("HTTP `POST /api/bill`")[0]
    assert f"`POST /{app.COMMAND_ROUTE}`" in row("HTTP `POST /command`")[0]


@pytest.mark.parametrize("name", list(observing.COUNTED))
def test_metrics_are_named(name):
    assert f"`{name}`" in TEXT
