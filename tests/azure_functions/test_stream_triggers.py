"""The functions that take batches of Event Hubs, by Microsoft's worker: every bad input, and everything away."""

import json
import time

import msgspec
import pytest

from tests.azure_functions.conftest import SHARDS
from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import FunctionsWorker, event_batch
from tests.emulators.interference import Refuse
from tests.ports import free_port
from watchkeeper.ids import shard_of
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Stored
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, DEVICE_TELEMETRY, IOT_DATA_INGESTION
from watchkeeper_azure import app as functions
from watchkeeper_azure.container import Container

pytestmark = pytest.mark.usefixtures("no_azure_pauses")
ALSO_DEPLOYED = True
NOW = int(time.time() * 1000)
RAW, PACKS, CLEANED = DEVICE_TELEMETRY.name, IOT_DATA_INGESTION.name, DATA_PROCESSING_OUTPUT.name
THROTTLED = Refuse(429, b'{"code": "TooManyRequests", "message": "Request rate is large"}', "application/json")
BUSY = Refuse(503, b"<Error><Code>ServerBusy</Code><Message>Busy</Message></Error>", "application/xml")
FORBIDDEN = Refuse(403, b"<Error><Code>AuthorizationFailure</Code><Message>No</Message></Error>", "application/xml")


def sent(offset, device="pump-07", body=None):
    told = json.dumps({"ts": NOW + offset, "device": "another", "values": {"flow": 100.0 + offset}}).encode()
    shard = shard_of("default", device, SHARDS)
    return Stored(offset, shard, told if body is None else body, {"device": device, "received": str(NOW + offset)})


def times(messages):
    packs = [Pack.decode(message.value) for message in messages]
    return sorted(ts for pack in packs for table in pack.tables for ts in table.ts.tolist())


def ingested(stack, since, messages, partition=0):
    """The packs that ingest makes of messages, by the partition they are in."""
    answer = stack.take("ingest", RAW, messages, partition)
    assert answer.fine, answer.error
    packs = since(PACKS)
    return packs, packs[0].shard % 2


def test_readings_of_a_batch_become_packs_of_the_device_that_was_let_in(stack, since):
    answer = stack.take("ingest", RAW, [sent(1), sent(2), sent(3, "pump-08")])
    assert answer.fine, answer.error
    packs = [Pack.decode(message.value) for message in since(PACKS)]
    assert {device.device for pack in packs for device in pack.devices} == {"pump-07", "pump-08"}
    assert {origin.place for pack in packs for origin in pack.origins} >= {(1, 0), (2, 0), (3, 0)}
    assert {at for pack in packs for table in pack.tables for at in table.received.tolist()} == {
        NOW + offset for offset in (1, 2, 3)
    }


def test_an_empty_batch_is_no_trouble(stack, since):
    assert stack.take("ingest", RAW, []).fine
    assert since(PACKS) == []


def test_poison_is_dead_lettered_and_its_neighbours_go_on(stack, since, letters):
    assert stack.take("ingest", RAW, [sent(4), sent(5, body=b"\xff no JSON"), sent(6)]).fine
    (letter,) = letters()
    assert (letter.stage, letter.offset, letter.body, letter.device) == ("ingest", 5, b"\xff no JSON", "pump-07")
    assert times(since(PACKS)) == [NOW + 4, NOW + 6]


@pytest.mark.parametrize("stage", [stage.name for stage in PIPELINE if stage.topics and stage.name != "ingest"])
def test_every_stage_dead_letters_what_is_no_record_of_its_topic(stack, letters, stage):
    topic = next(row for row in PIPELINE if row.name == stage).topics[0].name
    wrong = Stored(11, 0, b'{"no": "record"}', {})
    for _ in range(2):
        answer = stack.take(stage, topic, [wrong])
        assert answer.fine, answer.error
    assert [(letter.stage, letter.topic, letter.body) for letter in letters()][:1] == [(stage, topic, wrong.value)]


def test_a_body_too_large_for_a_hub_is_kept_whole_among_the_dead_letters(stack, letters):
    large = sent(20, body=b"{" + b"x" * 1_500_000)
    assert stack.take("ingest", RAW, [large, sent(21)]).fine
    assert [letter.body for letter in letters()] == [large.value]
    assert len(stack.ports.blobs.list("dead-letters/")) == 1


def test_batches_that_come_again_or_cut_anew_are_taken_once(stack, since):
    messages = [sent(offset, "pump-09") for offset in range(30, 60)]
    for piece in (messages[:10], messages[5:25], messages, messages[20:]):
        assert stack.take("ingest", RAW, piece, 1).fine
    packs = since(PACKS)
    for piece in (packs[:2], packs[1:], packs):
        answer = stack.take("clean", PACKS, piece, packs[0].shard % 2)
        assert answer.fine, answer.error
    assert times(since(CLEANED)) == [NOW + offset for offset in range(30, 60)]


@pytest.mark.parametrize(("offset", "wrong"), [(100, BUSY), (101, FORBIDDEN)])
def test_while_blobs_are_away_a_batch_of_clean_comes_again_and_nothing_is_lost(stack, since, offset, wrong):
    packs, partition = ingested(stack, since, [sent(offset, "pump-10")])
    stack.blobs.plan = lambda _asked: wrong
    answer = stack.take("clean", PACKS, packs, partition)
    assert "Unavailable" in answer.error
    assert f"{PACKS}/{partition} comes again, from offset {packs[0].offset} on" in answer.error
    stack.blobs.plan = lambda _asked: None
    assert stack.take("clean", PACKS, packs, partition).fine
    assert times(since(CLEANED)) == [NOW + offset]


def test_while_cosmos_db_is_throttled_a_batch_of_store_comes_again(stack, since):
    def through(messages):
        for stage in PIPELINE[1:4]:
            topic = stage.topics[0].name
            assert stack.take(stage.name, topic, messages, messages[0].shard % 2).fine
            messages = since(stage.emits[0].name)
        return messages

    packs, _ = ingested(stack, since, [sent(110, "pump-12")])
    scored = through(packs)
    assert stack.post("command", "/command", {"command": "ping"})[0] == 200
    stack.cosmos.plan = lambda _asked: THROTTLED
    topic = PIPELINE[4].topics[0].name
    answer = stack.take("store", topic, scored, scored[0].shard % 2)
    assert "429" in answer.error, answer
    stack.cosmos.plan = lambda _asked: None
    assert stack.take("store", topic, scored, scored[0].shard % 2).fine
    assert "pump-12" in {row.key.sort for row in stack.ports.tables.query("devices", "default")}


@pytest.mark.in_process
def test_while_event_hubs_are_away_a_batch_comes_again(stack):

    nowhere = stack.hubs.connection.replace(
        stack.hubs.connection.split("//")[1].split(";")[0], f"127.0.0.1:{free_port()}"
    )
    settings = msgspec.structs.replace(stack.settings, event_hubs_connection=nowhere, event_hubs_timeout_s=1.0)
    worker = FunctionsWorker(functions.open_app(lambda: Container(settings), "ingest"))
    events, metadata = batch_of(RAW, 0, [sent(120)])
    answer = worker.invoke("ingest_device_telemetry", "events", events, metadata)
    assert "Event Hubs iot-data-ingestion" in answer.error


@pytest.mark.in_process
def test_with_little_time_left_the_rest_comes_again_and_is_taken_then(stack, since, monkeypatch):
    monkeypatch.setattr(functions, "TIMEOUT_S", 4)
    monkeypatch.setattr("watchkeeper_adapters.cloud.stream_trigger.MESSAGES", 2)
    messages = [sent(offset, "pump-13") for offset in (130, 131, 132)]
    answer = stack.take("ingest", RAW, messages)
    assert "comes again, from offset 132 on: little time is left" in answer.error
    monkeypatch.undo()
    assert times(since(PACKS)) == [NOW + 130, NOW + 131]
    assert stack.take("ingest", RAW, messages).fine
    assert {NOW + 130, NOW + 131, NOW + 132} <= set(times(since(PACKS)))


def test_a_batch_without_its_metadata_is_not_taken(stack, since):
    events, metadata = batch_of(RAW, 0, [sent(140)])
    answer = stack.worker.invoke(
        "ingest_device_telemetry", "events", events, {n: v for n, v in metadata.items() if n != "PartitionContext"}
    )
    assert "does not say of which partition" in answer.error
    answer = stack.worker.invoke("ingest_device_telemetry", "events", event_batch([b"a", b"b"]), metadata)
    assert "mismatched" in answer.error
    assert since(PACKS) == []
