"""Timers, files, the bill and commands by hand, in the real runtime."""

import json
import time
from urllib.parse import quote_plus

import msgspec
import pytest

from tests.emulators.aws import emulated, new_alert_queue
from tests.emulators.interference import AWAY, THROTTLED, first
from tests.emulators.listeners import listening
from tests.lambdas.conftest import SHARDS
from tests.lambdas.events import event, from_msk
from tests.unit.shadow.support import Fleet
from watchkeeper.model_in_force import current_pin, model_history
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Key, Stored
from watchkeeper.published import CURRENT_CUTOFF, current_cutoff
from watchkeeper.records import Alert, DeadLetter, Severity, Spend
from watchkeeper.topology import (
    ALERTS,
    BATCH_DATA_INGESTION,
    CUTOFFS,
    DASHBOARD_ALERTS,
    DEAD_LETTER,
    DEVICE_TELEMETRY,
    SPEND,
)
from watchkeeper_aws import function as functions
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.sockets import PARTITION, Listener

NOW = int(time.time() * 1000)
ALWAYS = 10**9
TIMERS = [stage.name for stage in PIPELINE if stage.timer and stage.tick]
OVEN = "device,ts,temperature\noven-3,2026-11-01T12:00:00Z,180.5\noven-4,2026-11-01T12:00:01Z,181.5\n"


def of_topic(stack, name):
    return [message for messages in stack.messages(name).values() for message in messages]


@pytest.fixture
def since(stack):
    before = {place: len(found) for place, found in stack.messages(DEAD_LETTER.name).items()}

    def look(name):
        if name != DEAD_LETTER.name:
            return of_topic(stack, name)
        return [m for place, found in stack.messages(name).items() for m in found[before[place] :]]

    return look


def letters(since):
    return [msgspec.json.decode(message.value, type=DeadLetter) for message in since(DEAD_LETTER.name)]


# --- timers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", TIMERS)
def test_a_timer_ticks_every_shard_of_its_stage(stack, stage):
    told = stack.invoke(stage, {"timer": stage}).value()
    assert told == {"ticked": 8 if next(s for s in PIPELINE if s.name == stage).state == "shard" else 1, "waiting": 0}


def test_a_timer_of_another_stage_is_refused(stack):
    assert stack.invoke("rule_check", {"timer": "notify"}).body["errorType"] == "Undeclared"


def test_a_timer_with_little_time_left_leaves_the_rest_for_the_next(stack):
    told = stack.function("rule_check").invoke({"timer": "rule_check"}, time_left_ms=1000).value()
    assert told == {"ticked": 1, "waiting": 7}


def test_a_timer_that_can_do_nothing_says_so(stack):
    stack.invoke("notify", {"command": "ping"})
    stack.between.plan = first(ALWAYS, AWAY)
    answer = stack.invoke("notify", {"timer": "notify"})
    assert (answer.kind, answer.body["errorType"]) == ("error", "Unavailable")
    assert "failed for every shard" in answer.body["errorMessage"]


def test_retraining_without_anything_to_learn_from_says_so(stack):
    assert "readings of a metric" in stack.invoke("retrain", {"timer": "retrain"}).value()["why"]


def test_a_model_is_learnt_compared_and_promoted_over_s3_and_dynamodb(stack):
    fleet = Fleet(ports=stack.ports, shards=SHARDS, learnt=NOW - 3_600_000)
    fleet.review("confirmed")
    retrain = stack.function("retrain", WATCHKEEPER_SHADOW_HOURS="0")
    learnt = retrain.invoke({"timer": "retrain"}, patience_s=110).value()
    assert (learnt["shadow"], learnt["rows"] > 300) == ("waiting", True)
    told = retrain.invoke({"timer": "retrain"}, time_left_ms=60_000).value()
    assert (told["shadow"], told["why"]) == ("comparing", "0 of 4 devices and reviewed episodes are compared")
    told = retrain.invoke({"timer": "retrain"}, time_left_ms=900_000, patience_s=110).value()
    assert (told["candidate"], told["shadow"]) == (learnt["candidate"], "promoted")
    assert "not worse beside no model: confirmed episodes found 1 to 1 of 1" in told["why"]
    assert current_pin(stack.ports.blobs).version == learnt["candidate"]
    assert [change.what for change in model_history(stack.ports.blobs)] == ["promoted", "shadowed", "trained"]
    asked = {"command": "models", "action": "pin", "version": told["candidate"], "by": "ada", "why": "it is good"}
    assert retrain.invoke(asked).value() == {
        "version": told["candidate"], "previous": "", "pinned": True, "candidate": "",
    }  # fmt: skip
    assert model_history(stack.ports.blobs)[0].by == "ada"
    assert stack.invoke("notify", asked).body["errorType"] == "ConfigError"


# --- alerts leave ---------------------------------------------------------------------------------------------------


def test_an_alert_on_its_topic_arrives_in_a_queue_behind_sns(stack, aws_server):
    arns, heard = {}, {}
    for severity in Severity:
        arns[severity.value], heard[severity] = new_alert_queue(aws_server, f"alerts-{severity.value}")
    notify = stack.function("notify", WATCHKEEPER_ALERT_TOPICS=json.dumps(arns))
    alert = Alert(
        id="a-1", tenant="default", site="", device="pump-07", device_class="pump", detector="rule:hot",
        status="firing", severity=Severity.CRITICAL, title="hot", opened=NOW, ts=NOW,
    )  # fmt: skip
    prefix = stack.environment["WATCHKEEPER_KAFKA_PREFIX"]
    asked = from_msk(DASHBOARD_ALERTS.name, {0: [Stored(1, 0, msgspec.json.encode(alert), {})]}, prefix)
    for _ in range(2):
        assert notify.invoke(asked).value() == {"batchItemFailures": []}
    (envelope,) = heard[Severity.CRITICAL]()
    assert json.loads(json.loads(envelope)["Message"])["id"] == "a-1"


def test_an_alert_goes_to_who_listens_when_it_is_new_or_changed_even_if_nobody_can_be_told(stack):
    prefix, tables = stack.environment["WATCHKEEPER_KAFKA_PREFIX"], stack.container.tables
    for name in ("here", "gone"):
        tables.put(CONNECTIONS, Key(PARTITION, name), msgspec.json.encode(Listener("eva", "acme", 1)))
    alert = Alert(
        id="p-1", tenant="acme", site="", device="pump-07", device_class="pump", detector="rule:hot",
        status="firing", severity=Severity.CRITICAL, title="hot", opened=NOW, ts=NOW,
    )  # fmt: skip
    over = msgspec.structs.replace(alert, status="resolved", resolved=NOW + 1, ts=NOW + 1)
    with listening("here") as gateway:
        notify = stack.function("notify", WATCHKEEPER_SOCKETS_URL=gateway.url)
        for offset, said in enumerate([alert, alert, over]):
            if said is over:
                gateway.broken = True
            messages = {0: [Stored(100 + offset, 1, msgspec.json.encode(said), {})]}
            answer = notify.invoke(from_msk(DASHBOARD_ALERTS.name, messages, prefix))
            assert answer.value() == {"batchItemFailures": []}

        (frame,) = gateway.sent["here"]
    assert json.loads(frame)["alert"]["id"] == "p-1"
    assert answer.metrics()["batch_push_failures"] == 1
    assert [row.key.sort for row in tables.query(CONNECTIONS, PARTITION)] == ["here"]
    (row,) = tables.get_many(ALERTS.name, [Key("acme", "p-1")]).values()
    assert json.loads(row.value)["status"] == "resolved"


# --- files ----------------------------------------------------------------------------------------------------------


def put(stack, aws_server, key, body):
    bucket = stack.environment["WATCHKEEPER_BUCKET"]
    emulated(aws_server, "s3").put_object(Bucket=bucket, Key=key, Body=body)
    return created(stack, key, len(body))


def created(stack, key, size=10):
    told = event("s3_created")
    told["Records"][0]["s3"]["bucket"]["name"] = stack.environment["WATCHKEEPER_BUCKET"]
    told["Records"][0]["s3"]["object"] |= {"key": quote_plus(key, safe="/"), "size": size}
    return told


def test_a_file_becomes_readings_of_the_tenant_of_its_folder(stack, aws_server, since):
    asked = put(stack, aws_server, "inbox/acme/March 1 & 2.csv", OVEN.encode())
    for _ in range(2):  # S3 announces at least once
        assert stack.invoke("ingest", asked).value() == {"files": 1}
    packs = [Pack.decode(message.value) for message in since(BATCH_DATA_INGESTION.name)]
    assert {(d.tenant, d.device) for pack in packs for d in pack.devices} >= {("acme", "oven-3"), ("acme", "oven-4")}


def test_a_table_that_names_no_device_is_of_the_one_the_file_is_called_after(stack, aws_server, since):
    asked = put(stack, aws_server, "inbox/oven-9.csv", b"ts,temperature\n2026-11-01T12:00:00Z,180.5\n")
    assert stack.invoke("ingest", asked).value() == {"files": 1}
    packs = [Pack.decode(message.value) for message in since(BATCH_DATA_INGESTION.name)]
    assert ("default", "oven-9") in {(d.tenant, d.device) for pack in packs for d in pack.devices}


@pytest.mark.parametrize(
    ("key", "body", "says"),
    [
        ("inbox/notes.txt", b"hello", "names that end in .csv"),
        ("inbox/acme/broken.json", b"{", "broken.json"),
        ("inbox/ /x.json", b"[]", "names no tenant"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_dead_letter_whole(stack, aws_server, since, key, body, says):
    assert stack.invoke("ingest", put(stack, aws_server, key, body)).value() == {"files": 1}
    (letter,) = letters(since)
    assert letter.body == body
    assert says in letter.reason


def test_a_file_too_large_is_said_and_not_read(stack, since):
    assert stack.invoke("ingest", created(stack, "inbox/huge.csv", 10**9)).value() == {"files": 1}
    (letter,) = letters(since)
    assert "a file may have 50,000,000; divide it" in letter.reason


def test_a_file_that_is_gone_is_no_trouble_and_storage_that_is_away_is(stack, since):
    assert stack.invoke("ingest", created(stack, "inbox/gone.csv")).value() == {"files": 1}
    assert letters(since) == []
    stack.between.plan = first(ALWAYS, AWAY)
    answer = stack.invoke("ingest", created(stack, "inbox/gone.csv"))
    assert (answer.kind, answer.body["errorType"]) == ("error", "Unavailable")


def test_what_lambda_has_given_up_becomes_dead_letters(stack, aws_server, since):
    """Format: https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html."""
    inner = from_msk(DEVICE_TELEMETRY.name, {0: [Stored(7, 0, b"a", {"device": "pump-07"}), Stored(8, 0, b"b", {})]})
    body = {
        "requestContext": {
            "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
            "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:ingest",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 10,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "1", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-11-01T00:38:06.021Z",
        "payload": json.dumps(inner),
    }
    key = "aws/lambda/6d2f/2026/11/01/2026-11-01T00.38.06-316aa6d0"
    asked = put(stack, aws_server, key, json.dumps(body).encode())
    assert stack.invoke("ingest", asked).value() == {"files": 1}
    found = letters(since)
    assert [(letter.body, letter.offset) for letter in found] == [(b"a", 7), (b"b", 8)]
    assert "RetryAttemptsExhausted" in found[0].reason
    assert stack.invoke("ingest", put(stack, aws_server, key, b"[]")).value() == {"files": 1}
    assert "not what Lambda writes" in letters(since)[-1].reason


# --- the bill -------------------------------------------------------------------------------------------------------


def test_a_bill_above_the_meter_cuts_off_at_once_and_only_once(stack):
    budget = stack.function("budget_cutoff", WATCHKEEPER_BUDGET="1000")
    assert budget.invoke({"timer": "budget_cutoff"}).value() == {"ticked": 1, "waiting": 0}
    assert current_cutoff(stack.ports.tables).level == "ok"
    for _ in range(2):
        assert budget.invoke(event("sns_budget")).value() == {"ticked": 1, "waiting": 0}
        rows = stack.ports.tables.query(SPEND.name, time.strftime("%Y-%m", time.gmtime()))
        assert msgspec.json.decode(rows[0].value, type=Spend).spent == pytest.approx(1085.25, abs=0.01)
    assert current_cutoff(stack.ports.tables).level == "cutoff"
    stack.ports.tables.put(CUTOFFS.name, Key(*CURRENT_CUTOFF), b"{}")


def test_a_forecast_adds_nothing_and_what_is_not_understood_is_said(stack):
    budget = stack.function("budget_cutoff", WATCHKEEPER_BUDGET="0")
    told = event("sns_budget")
    told["Records"][0]["Sns"]["Message"] = "Alert Type: FORECASTED\nFORECASTED Amount: $500.00\n"
    assert budget.invoke(told).said("is not understood") == []
    told["Records"][0]["Sns"]["Message"] = "something else"
    assert budget.invoke(told).said("is not understood")


# --- by hand --------------------------------------------------------------------------------------------------------


def test_commands_by_hand(stack):
    version = stack.invoke("store", {"command": "ping"}).value()["bundle"]
    assert version
    assert stack.invoke("api", {"command": "publish-knowledge"}).value() == {"bundle": version}
    assert stack.invoke("store", {"command": "dance"}).body["errorType"] == "ConfigError"


@pytest.mark.parametrize("odd", [{}, {"Records": []}, {"Records": [{"eventSource": "aws:sqs"}]}, {"records": {}}])
def test_an_event_of_no_trigger_is_refused(stack, odd):
    answer = stack.invoke("budget_cutoff", odd)
    assert (answer.kind, answer.body["errorType"]) == ("error", "Undeclared")


def test_without_settings_a_function_says_what_is_missing(stack):
    answer = stack.function("clean", WATCHKEEPER_BUCKET="").invoke({"command": "ping"})
    assert answer.body["errorType"] == "ConfigError"
    assert "WATCHKEEPER_BUCKET is not set" in answer.body["errorMessage"]
    answer = stack.function("clean", WATCHKEEPER_SHARDS="many").invoke({"command": "ping"})
    assert "WATCHKEEPER_SHARDS does not fit" in answer.body["errorMessage"]


def test_while_dynamodb_is_throttled_an_invocation_at_the_start_is_an_error_that_comes_again(stack):
    stack.between.plan = first(ALWAYS, THROTTLED)
    answer = stack.function("store", WATCHKEEPER_STACK="cold").invoke({"command": "ping"})
    assert (answer.kind, answer.body["errorType"]) == ("error", "Unavailable")
    stack.between.plan = lambda _asked: None
    assert stack.function("store", WATCHKEEPER_STACK="cold").invoke({"command": "ping"}).value()["bundle"]


def test_every_stage_but_the_watch_has_a_handler_of_its_name():
    from pathlib import Path

    modules = {path.stem for path in (Path(functions.__file__).parent / "handlers").glob("[a-z]*.py")}
    assert modules == {stage.name for stage in PIPELINE if stage.name != "watch"} | {"authorizer"}
