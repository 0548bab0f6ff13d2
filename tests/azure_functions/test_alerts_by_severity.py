"""Alerts by severity: cards at once to the receivers of theirs, and a line in the logs that tells action groups."""

import json
import logging
import time

import msgspec
import pytest

from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import MISSING, FunctionsWorker
from tests.unit.adapters.stand_ins import StandIn
from watchkeeper.ports import Stored
from watchkeeper.records import Alert, Severity
from watchkeeper.topology import DASHBOARD_ALERTS
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
NOW = int(time.time() * 1000)


def alert(name, severity, **more):
    given = {
        "id": name, "tenant": "acme", "site": "north", "device": "pump-07", "device_class": "pump",
        "detector": "rule:hot", "status": "firing", "severity": severity, "title": f"hot\n({name})",
        "opened": NOW, "ts": NOW,
    }  # fmt: skip
    return Alert(**(given | more))


@pytest.fixture
def workflows():
    """Two workflows in Teams."""
    made = [StandIn((202, {}, b"")) for _ in range(2)]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def notify(stack, workflows, monkeypatch):
    """Take alerts as an app does whose receivers are for some severities."""
    loud, quiet = workflows
    receivers = f"critical+emergency/teams={loud.url}/loud, info+warning/teams={quiet.url}/quiet"
    monkeypatch.setattr(Container, "_secret", lambda _, name: {"receivers": receivers} if name == "receivers" else {})
    container = Container(msgspec.structs.replace(stack.settings, receivers_secret="receivers"))
    worker = FunctionsWorker(open_app(lambda: container, "notify"))

    def take(*alerts):
        messages = [
            Stored(time.time_ns() // 1000 + n, 1, msgspec.json.encode(each), {}) for n, each in enumerate(alerts)
        ]
        events, metadata = batch_of(DASHBOARD_ALERTS.name, 0, messages, "notify")
        answer = worker.invoke("notify_dashboard_alerts", "events", events, metadata)
        assert answer.fine, answer.error

    yield take
    container.close()


def said_at(workflow):
    """What the cards say that a workflow has got."""
    return [json.dumps(seen.json["attachments"][0]["content"]) for seen in workflow.seen]


def test_a_critical_card_comes_to_the_receiver_of_critical_ones_only(notify, workflows):
    loud, quiet = workflows
    notify(alert("s-bad", Severity.CRITICAL), alert("s-note", Severity.INFO))
    assert [("s-bad" in text, "s-note" in text) for text in said_at(loud)] == [(True, False)]
    assert [("s-bad" in text, "s-note" in text) for text in said_at(quiet)] == [(False, True)]
    over = alert("s-note", Severity.INFO, status="resolved", resolved=NOW + 1, ts=NOW + 1)
    notify(over)
    assert (len(loud.seen), len(quiet.seen)) == (1, 2)


def test_each_new_or_changed_alert_is_said_in_a_line_that_rules_look_for(notify, caplog):
    caplog.set_level(logging.INFO, "watchkeeper.alerts")
    bad = alert("s-line", Severity.EMERGENCY, title="x" * 500 + "\n{}")
    notify(bad)
    notify(bad)
    notify(alert("s-quiet", Severity.INFO, pages=False))
    lines = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.alerts"]
    assert all(line.startswith('{"alert":') and "\n" not in line for line in lines)
    first, second = map(json.loads, lines)
    assert (first["alert"], first["severity"], first["status"], first["pages"]) == (
        "s-line",
        "emergency",
        "firing",
        True,
    )
    assert (first["tenant"], first["device"], len(first["title"])) == ("acme", "pump-07", 200)
    assert (second["alert"], second["pages"]) == ("s-quiet", False)


def test_the_rules_ask_for_what_is_said(notify, caplog):
    from watchkeeper_infra.azure.alarms import ALERTS, TOLD_APART

    caplog.set_level(logging.INFO, "watchkeeper.alerts")
    notify(alert("s-asked", Severity.CRITICAL))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.alerts"]
    assert line.startswith(ALERTS.split("'")[1])
    assert set(TOLD_APART) <= set(json.loads(line))
    assert len(TOLD_APART) <= 6
