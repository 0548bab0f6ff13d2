"""Timers, files, the bill, requests and commands by hand, by Microsoft's worker; and how the app is indexed."""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.azure_functions.azure_world import LATE
from tests.azure_functions.conftest import SHARDS
from tests.emulators.functions_worker import MISSING, FunctionsWorker, datum
from tests.emulators.interference import Refuse
from tests.unit.shadow.support import Fleet
from watchkeeper.errors import ConfigError
from watchkeeper.model_in_force import current_pin, model_history
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Key
from watchkeeper.published import CURRENT_CUTOFF, current_cutoff
from watchkeeper.records import Spend
from watchkeeper.topology import BATCH_DATA_INGESTION, CUTOFFS, IOT_DATA_INGESTION, SPEND
from watchkeeper_azure import app as functions
from watchkeeper_azure.settings import Settings

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.usefixtures("no_azure_pauses")]
ALSO_DEPLOYED = True
HERE = Path(functions.__file__).parent
NOW = int(time.time() * 1000)
AWAY = Refuse(503, b"<Error><Code>ServerBusy</Code><Message>Busy</Message></Error>", "application/xml")
OVEN = b"device,ts,temperature\noven-3,2026-11-01T12:00:00Z,180.5\noven-4,2026-11-01T12:00:01Z,181.5\n"


# --- how the app is indexed -----------------------------------------------------------------------------------------


def never():
    raise AssertionError("nothing is opened before the first invocation")


def test_every_trigger_of_the_table_is_a_function_and_nothing_else_is():
    worker = FunctionsWorker(functions.open_app(never, ""))
    kinds = {name: worker.bindings(name)[0]["type"] for name in worker.metadata}
    stages = [stage for stage in PIPELINE if stage.name != "watch"]
    topics = {f"{s.name}_{t.name.replace('-', '_')}": "eventHubTrigger" for s in stages for t in s.topics}
    timers = {f"{s.name}_timer": "timerTrigger" for s in stages if s.timer}
    others = dict.fromkeys(("bill", "requests", "command"), "httpTrigger") | {"files": "eventGridTrigger"}
    assert kinds == topics | timers | others


def test_what_is_deployed_is_indexed_as_it_is_here(stack):
    here = FunctionsWorker(functions.open_app(never, ""))
    assert {n: stack.worker.bindings(n) for n in stack.worker.metadata} == {n: here.bindings(n) for n in here.metadata}


def test_a_topics_trigger_takes_many_events_and_tries_for_ever():
    worker = FunctionsWorker(functions.open_app(never, "clean"))
    assert set(worker.metadata) == {"clean_iot_data_ingestion", "clean_batch_data_ingestion", "command"}
    (trigger,) = worker.bindings("clean_iot_data_ingestion")
    assert trigger["eventHubName"] == "iot-data-ingestion"
    assert (trigger["consumerGroup"], trigger["cardinality"].lower()) == ("clean", "many")
    assert (trigger["connection"], trigger["dataType"].lower()) == ("WatchkeeperEventHubs", "binary")
    retry = worker.metadata["clean_iot_data_ingestion"].retry_options
    assert (retry.retry_strategy, retry.max_retry_count) == ("fixed_delay", -1)
    assert retry.delay_interval == timedelta(seconds=5)


def test_a_batch_and_no_more_than_another_one_are_fetched_at_once():
    told = json.loads((HERE / "host.json").read_text("utf-8"))["extensions"]["eventHubs"]
    assert told["prefetchCount"] == 2 * told["maxEventBatchSize"]


def test_the_file_at_the_root_is_what_the_worker_loads(monkeypatch):
    from azure_functions_runtime import loader

    monkeypatch.setenv("WATCHKEEPER_STAGE", "notify, store")
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    found = {each.get_function_name() for each in loader.index_function_app(str(HERE / "function_app.py"))}
    monkeypatch.delitem(sys.modules, "function_app")
    assert found == {"notify_dashboard_alerts", "notify_timer", "store_final_data_storage", "command"}


@pytest.mark.parametrize("names", ["washing", "clean,watch"])
def test_an_app_of_a_stage_that_is_none_does_not_begin(names):
    with pytest.raises(ConfigError, match="WATCHKEEPER_STAGE: no stage"):
        functions.open_app(never, names)


def test_the_hosts_settings_are_what_the_functions_rely_on():
    host = json.loads((HERE / "host.json").read_text("utf-8"))
    assert host["functionTimeout"] == time.strftime("%H:%M:%S", time.gmtime(functions.TIMEOUT_S))
    assert host["extensions"]["eventHubs"]["batchCheckpointFrequency"] == 1
    assert host["extensions"]["http"]["routePrefix"] == ""


@pytest.mark.parametrize(
    ("seconds", "schedule"),
    [
        (5, "*/5 * * * * *"),
        (30, "*/30 * * * * *"),
        (300, "0 */5 * * * *"),
        (3600, "0 0 * * * *"),
        (86400, "0 0 0 * * *"),
    ],
)
def test_timers_as_schedules(seconds, schedule):
    assert functions.schedule_of(seconds) == schedule


@pytest.mark.parametrize("seconds", [0.5, 7, 90, 5400])
def test_a_timer_that_is_no_schedule_is_refused(seconds):
    with pytest.raises(ConfigError, match="cannot be written as a schedule"):
        functions.schedule_of(seconds)


# --- timers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [stage.name for stage in PIPELINE if stage.timer and stage.name != "watch"])
def test_a_timer_of_each_stage_ticks(stack, stage):
    answer = stack.worker.invoke(f"{stage}_timer", "timer", datum(LATE, "json"))
    assert answer.fine, answer.error


@pytest.mark.in_process
def test_a_model_is_learnt_compared_and_promoted_over_blobs_and_cosmos(stack, monkeypatch):
    monkeypatch.setattr(stack.container, "shadow_ms", 0)
    Fleet(ports=stack.ports, shards=SHARDS, learnt=NOW - 3_600_000).review("confirmed")
    for _ in range(2):
        answer = stack.worker.invoke("retrain_timer", "timer", datum(LATE, "json"))
        assert answer.fine, answer.error
    promoted, shadowed, trained = model_history(stack.ports.blobs)
    assert (promoted.what, shadowed.what, trained.what) == ("promoted", "shadowed", "trained")
    assert "not worse beside no model: confirmed episodes found 1 to 1 of 1" in promoted.why
    assert current_pin(stack.ports.blobs).version == trained.model
    asked = {"command": "models", "action": "pin", "version": trained.model, "by": "ada", "why": "it is good"}
    assert stack.post("command", "/command", asked) == (
        200, {"version": trained.model, "previous": "", "pinned": True, "candidate": ""},
    )  # fmt: skip
    assert model_history(stack.ports.blobs)[0].by == "ada"
    assert stack.post("command", "/command", asked | {"version": ""})[0] == 400


def test_a_timer_that_can_do_nothing_says_so(stack):
    assert stack.post("command", "/command", {"command": "ping"})[0] == 200
    stack.blobs.plan = stack.cosmos.plan = lambda _asked: AWAY
    answer = stack.worker.invoke("notify_timer", "timer", datum(LATE, "json"))
    assert "the timer of notify failed for every shard" in answer.error


# --- files ----------------------------------------------------------------------------------------------------------


def created(stack, name, size=10, api="PutBlob", container=None):
    """Format: https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage."""
    where = container or stack.settings.blob_container
    told = {
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake",
        "subject": f"/blobServices/default/containers/{where}/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-01T12:00:00.0000000Z",
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "data": {
            "api": api, "clientRequestId": "c", "requestId": "r", "eTag": '"0x8D4BCC2E4835CD0"',
            "contentType": "text/plain", "contentLength": size, "blobType": "BlockBlob",
            "url": f"https://lake.blob.core.windows.net/{where}/{name}", "sequencer": "1", "storageDiagnostics": {},
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }  # fmt: skip
    return stack.worker.invoke("files", "event", datum(json.dumps(told), "json"))


def put(stack, name, body):
    from urllib.parse import quote

    stack.container._services.blob_container.upload_blob(name, body, overwrite=True)
    return created(stack, quote(name), len(body))


def test_a_file_becomes_readings_of_the_tenant_of_its_folder(stack, since):
    for _ in range(2):  # Event Grid tells at least once
        answer = put(stack, "inbox/acme/March 50% & 2.csv", OVEN)
        assert answer.fine, answer.error
    packs = [Pack.decode(message.value) for message in since(BATCH_DATA_INGESTION.name)]
    assert {(d.tenant, d.device) for pack in packs for d in pack.devices} == {("acme", "oven-3"), ("acme", "oven-4")}


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("inbox/notes.txt", b"hello", "names that end in .csv"),
        ("inbox/acme/broken.json", b"{", "broken.json"),
        ("inbox/ /x.json", b"[]", "names no tenant"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_dead_letter_whole(stack, letters, name, body, says):
    answer = put(stack, name, body)
    assert answer.fine, answer.error
    (letter,) = letters()
    assert letter.body == body
    assert says in letter.reason


def test_a_file_too_large_is_said_and_not_read(stack, letters):
    assert created(stack, "inbox/huge.csv", 10**9).fine
    (letter,) = letters()
    assert "a file may have 50,000,000; divide it" in letter.reason


def test_a_file_that_is_gone_is_no_trouble_and_storage_that_is_away_is(stack, letters):
    assert created(stack, "inbox/gone.csv").fine
    assert created(stack, "inbox/begun.csv", 0, "CreateFile").fine
    assert letters() == []
    stack.blobs.plan = lambda _asked: AWAY
    assert "Unavailable" in created(stack, "inbox/gone.csv").error


def test_an_event_of_another_place_is_refused(stack):
    assert "Undeclared" in created(stack, "models/x.bin").error
    assert "Undeclared" in created(stack, "inbox/x.csv", container="other").error


# --- the bill -------------------------------------------------------------------------------------------------------


def notification(form, **changed):
    """A budget's, as documented (see bill_trigger), with other values in what it says of the budget."""
    told = json.loads((Path(__file__).parent / "data" / f"budget_{form}.json").read_text("utf-8"))
    about = told["data"] if form == "classic" else told["data"]["alertContext"]["AlertData"]
    assert set(changed) <= set(about)
    about.update(changed)
    return told


@pytest.mark.parametrize("form", ["actual", "classic"])
def test_a_bill_above_the_meter_cuts_off_at_once_and_only_once(stack, form):
    before = stack.ports.meter.total("0000-00-00", "9999-99-99").get("bill", {}).get("billed_usd", 0.0)
    name = "SpendingAmount" if form == "classic" else "SpentAmount"
    bill = notification(form, **{name: f"{'' if form == 'classic' else '$'}{before + 1085.25:.2f}"})
    _, told = stack.post("bill", "/api/bill", bill)
    assert told["added_usd"] == pytest.approx(1085.25, abs=1)
    _, told = stack.post("bill", "/api/bill", bill)
    assert told == {"added_usd": 0.0}
    rows = stack.ports.tables.query(SPEND.name, time.strftime("%Y-%m", time.gmtime()))
    assert msgspec.json.decode(rows[0].value, type=Spend).spent == pytest.approx(before + 1085.25, abs=1)
    assert current_cutoff(stack.ports.tables).level == "cutoff"
    stack.ports.tables.put(CUTOFFS.name, Key(*CURRENT_CUTOFF), b"{}")


FORECASTS = [
    notification("forecasted"),
    notification("forecasted", SpentAmount="$9,999,999.00"),
    notification("classic", BudgetName="watchkeeper-azure-prod-budget-forecasted", SpendingAmount="9999999.00"),
]
NOT_UNDERSTOOD = [
    notification("actual", SpentAmount="much"),
    notification("actual", ThresholdType="Guessed"),
    notification("actual", Unit="EUR"),
    notification("classic", SpendingAmount=""),
    notification("classic", Unit="EUR"),
    notification("classic") | {"schemaId": "another"},
    {"data": []},
    b"\xff",
    [],
]


@pytest.mark.in_process
@pytest.mark.parametrize("body", [*FORECASTS, *NOT_UNDERSTOOD])
def test_a_forecast_adds_nothing_and_what_is_not_understood_is_said(stack, caplog, body):
    assert stack.post("bill", "/api/bill", body)[1] == {"added_usd": 0.0}
    assert ("a notification of Azure's budgets is not understood" in caplog.text) is (body in NOT_UNDERSTOOD)


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(stack):
    status, told = stack.post("command", "/command", {"command": "new-key", "name": "line-3", "tenant": "acme"})
    assert status == 200
    return told["key"]


def test_health_asks_for_no_key_and_everything_else_does(stack):
    assert stack.post("requests", "/health", method="GET")[0] == 200
    for shown in ({}, {"x_api_key": "guess"}, {"authorization": "Bearer a.b.c"}, {"authorization": "Basic abc"}):
        assert stack.post("requests", "/api/status", method="GET", **shown)[0] == 401


def test_a_machine_is_served_by_its_key_as_who_it_is(stack, since, key):
    body = [{"device": "pump-07", "ts": NOW, "values": {"flow": 101.5}}]
    shown = {"x_api_key": key, "content_type": "application/json"}
    status, told = stack.post("requests", "/ingest/realtime", body, **shown)
    assert (status, told["accepted"]) == (202, 1)
    packs = [Pack.decode(message.value) for message in since(IOT_DATA_INGESTION.name)]
    assert [(d.tenant, d.device) for pack in packs for d in pack.devices] == [("acme", "pump-07")]
    assert stack.post("requests", "/api/devices?limit=3", method="GET", x_api_key=key)[0] == 200


@pytest.mark.in_process
def test_a_person_is_served_by_a_token(stack, monkeypatch):
    from watchkeeper_adapters.cloud.tokens import Verifier

    claims = {"a.good.token": {"email": "eva@example.com", "tenant": "acme"}}
    monkeypatch.setattr(Verifier, "claims", lambda _self, token: claims.get(token))
    assert stack.post("requests", "/api/status", method="GET", authorization="Bearer a.good.token")[0] == 200
    assert stack.post("requests", "/api/status", method="GET", authorization="Bearer a.bad.token")[0] == 401


def test_while_the_keys_cannot_be_read_nobody_is_told_that_his_is_wrong(stack):
    assert stack.post("requests", "/health", method="GET")[0] == 200
    stack.cosmos.plan = lambda _asked: Refuse(503, b"{}", "application/json")
    assert stack.post("requests", "/api/status", method="GET", x_api_key="not seen yet")[0] == 503


# --- by hand --------------------------------------------------------------------------------------------------------


def test_commands_by_hand(stack):
    status, told = stack.post("command", "/command", {"command": "ping"})
    assert (status, told["app"].split(",")[0]) == (200, "ingest")
    assert stack.post("command", "/command", {"command": "publish-knowledge"}) == (200, {"bundle": told["bundle"]})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"command": "dance"}, "is not known"),
        (b"\xff", "JSON object"),
        ([], "JSON object"),
        ({"command": "new-key"}, '"name" says whose key'),
    ],
)
def test_a_command_that_is_none_is_refused(stack, body, says):
    status, told = stack.post("command", "/command", body)
    assert status == 400
    assert says in told["error"]


def test_keys_are_made_by_the_app_that_may_write_them():
    from watchkeeper.memory import memory_ports
    from watchkeeper_azure.commands import command
    from watchkeeper_azure.container import Container

    with pytest.raises(ConfigError, match="made by the app of api"):
        command(b'{"command": "new-key", "name": "x"}', ["clean"], Container(Settings(), memory_ports(1)))


def test_without_settings_an_app_says_what_is_missing():
    from tests.emulators.functions_worker import http_request
    from watchkeeper_azure.container import Container

    worker = FunctionsWorker(functions.open_app(lambda: Container(Settings()), "clean"))
    asked = http_request("POST", "https://app/command", b'{"command": "ping"}', {})
    answer = worker.invoke("command", "req", asked)
    assert answer.status == 400
    assert "is not set; docs/azure.md says what it should be" in json.loads(answer.value)["error"]
