"""The functions that take batches of MSK, in the real runtime: every bad input, and everything away."""

import time

import msgspec
import pytest

from tests.emulators.interference import FORBIDDEN, SLOW_DOWN, THROTTLED, first
from tests.lambdas.conftest import SHARDS
from tests.lambdas.events import event, from_msk, telemetry
from tests.ports import free_port
from watchkeeper.ids import shard_of
from watchkeeper.packs import Pack
from watchkeeper.pipeline import PIPELINE
from watchkeeper.ports import Stored
from watchkeeper.records import DeadLetter
from watchkeeper.topology import DEAD_LETTER, DEVICE_TELEMETRY, IOT_DATA_INGESTION

NOW = int(time.time() * 1000)
NOTHING = {"batchItemFailures": []}
ALWAYS = 10**9


def stored(offset, device="pump-07", **values):
    message = telemetry(device, shard_of("default", device, SHARDS), values or {"flow": 100.0 + offset}, NOW + offset)
    return Stored(offset, message.shard, message.value, message.headers)


def of_topic(stack, name, after=None):
    """All messages of a topic; `after` is what `heads` said before."""
    return [message for messages in stack.messages(name, after).values() for message in messages]


def heads(stack, name):
    """The newest offset of each partition."""
    return {place: found[-1].offset if found else -1 for place, found in stack.messages(name).items()}


@pytest.fixture
def since(stack):
    """What topics have got since the test began."""
    before = {name: heads(stack, name) for name in (IOT_DATA_INGESTION.name, DEAD_LETTER.name)}
    return lambda name: of_topic(stack, name, before[name])


def letters(since):
    return [msgspec.json.decode(message.value, type=DeadLetter) for message in since(DEAD_LETTER.name)]


def batch(stack, batches, topic=DEVICE_TELEMETRY.name):
    return from_msk(topic, batches, stack.environment["WATCHKEEPER_KAFKA_PREFIX"])


def failure(stack, partition, offset, topic=DEVICE_TELEMETRY.name):
    name = f"{stack.environment['WATCHKEEPER_KAFKA_PREFIX']}{topic}-{partition}"
    return {"itemIdentifier": {"partition": name, "offset": offset}}


def test_readings_of_a_batch_become_packs_and_metrics(stack, since):
    answer = stack.invoke("ingest", batch(stack, {0: [stored(1), stored(2)], 1: [stored(7, "pump-08")]}))
    assert answer.value() == NOTHING
    packs = [Pack.decode(message.value) for message in since(IOT_DATA_INGESTION.name)]
    assert sum(len(pack) for pack in packs) == 3
    assert {origin.place for pack in packs for origin in pack.origins} >= {(1, 0), (2, 0), (7, 0)}
    assert answer.metrics()["accepted"] == 3
    assert answer.metrics()["lag_ms"] < 60_000


def test_a_recorded_event_is_understood(stack, since):
    recorded = event("msk")
    prefix = stack.environment["WATCHKEEPER_KAFKA_PREFIX"]
    (records,) = recorded["records"].values()
    recorded["records"] = {f"{prefix}device-telemetry-0": [records[0] | {"topic": f"{prefix}device-telemetry"}]}
    assert stack.invoke("ingest", recorded).value() == NOTHING
    (pack,) = [Pack.decode(message.value) for message in since(IOT_DATA_INGESTION.name)]
    assert (pack.devices[0].device, pack.tables[0].received.tolist()) == ("pump-07", [1709294400000])


@pytest.mark.parametrize("records", [{}, {"device-telemetry-0": []}])
def test_an_empty_batch_is_no_trouble(stack, since, records):
    assert stack.invoke("ingest", event("msk") | {"records": records}).value() == NOTHING
    assert since(IOT_DATA_INGESTION.name) == []


def test_poison_is_dead_lettered_and_its_neighbours_go_on(stack, since):
    poison = Stored(4, 0, b"\xff no JSON", {"device": "pump-07", "received": str(NOW)})
    assert stack.invoke("ingest", batch(stack, {0: [stored(3), poison, stored(5)]})).value() == NOTHING
    (letter,) = letters(since)
    assert (letter.stage, letter.offset, letter.body, letter.device) == ("ingest", 4, b"\xff no JSON", "pump-07")
    assert sum(len(Pack.decode(message.value)) for message in since(IOT_DATA_INGESTION.name)) == 2


def test_what_is_no_base64_becomes_a_dead_letter_whole(stack, since):
    wrong = batch(stack, {0: [stored(6), stored(7)]})
    (records,) = wrong["records"].values()
    records[0]["value"] = "***not base64***"
    records[1] |= {"key": None, "value": None, "headers": None}
    assert stack.invoke("ingest", wrong).value() == NOTHING
    assert [letter.body for letter in letters(since)] == [b"***not base64***", b""]


@pytest.mark.parametrize("stage", [stage.name for stage in PIPELINE if stage.topics and stage.name != "ingest"])
def test_every_stage_dead_letters_what_is_no_record_of_its_topic(stack, since, stage):
    topic = next(row for row in PIPELINE if row.name == stage).topics[0].name
    wrong = Stored(11, 0, b'{"no": "record"}', {})
    assert stack.invoke(stage, batch(stack, {0: [wrong]}, topic)).value() == NOTHING
    (letter,) = letters(since)
    assert (letter.stage, letter.topic, letter.body) == (stage, topic, wrong.value)
    answer = stack.invoke(stage, batch(stack, {0: [wrong]}, topic))
    assert answer.value() == NOTHING


def test_a_body_too_large_for_kafka_is_kept_whole_among_the_dead_letters(stack, since):
    large = Stored(20, 0, b"{" + b"x" * 1_500_000, {"device": "pump-07", "received": str(NOW)})
    assert stack.invoke("ingest", batch(stack, {0: [large, stored(21)]})).value() == NOTHING
    (letter,) = letters(since)
    assert letter.body == large.value
    assert len(stack.ports.blobs.list("dead-letters/")) == 1


def test_batches_that_come_again_or_cut_anew_are_taken_once(stack, since):
    """From ingest to clean: the same origins, the same states, nothing twice."""
    messages = [stored(offset, "pump-09") for offset in range(30, 60)]
    for piece in (messages[:10], messages[5:25], messages, messages[20:]):
        assert stack.invoke("ingest", batch(stack, {1: piece})).value() == NOTHING
    packs = since(IOT_DATA_INGESTION.name)
    partition = packs[0].shard % stack.ports.stream.partitions(IOT_DATA_INGESTION.name)
    before = heads(stack, "data-processing-output")
    for piece in (packs[:2], packs[1:], packs):
        answer = stack.invoke("clean", batch(stack, {partition: piece}, IOT_DATA_INGESTION.name))
        assert answer.value() == NOTHING
    cleaned = [Pack.decode(message.value) for message in of_topic(stack, "data-processing-output", before)]
    assert sorted(ts for pack in cleaned for table in pack.tables for ts in table.ts.tolist()) == [
        NOW + offset for offset in range(30, 60)
    ]


def test_with_little_time_left_the_rest_comes_again(stack, since):
    batches = {0: [stored(70)], 1: [stored(80, "pump-08"), stored(81, "pump-08")]}
    answer = stack.function("ingest").invoke(batch(stack, batches), time_left_ms=2_000)
    assert answer.value() == {"batchItemFailures": [failure(stack, 1, 80)]}
    assert answer.metrics()["batch_out_of_time"] == 1
    assert sum(len(Pack.decode(message.value)) for message in since(IOT_DATA_INGESTION.name)) == 1


@pytest.mark.parametrize(("offset", "wrong"), [(100, SLOW_DOWN), (101, FORBIDDEN)])
def test_while_s3_is_away_a_batch_of_clean_waits_and_nothing_is_lost(stack, since, offset, wrong):
    stack.invoke("ingest", batch(stack, {0: [stored(offset, "pump-10")]}))
    packs = since(IOT_DATA_INGESTION.name)
    partition = packs[0].shard % 2
    asked = batch(stack, {partition: packs}, IOT_DATA_INGESTION.name)
    stack.invoke("clean", {"command": "ping"})
    stack.between.plan = first(ALWAYS, wrong, lambda asked: not asked.operation)
    answer = stack.invoke("clean", asked)
    assert answer.value() == {
        "batchItemFailures": [failure(stack, partition, packs[0].offset, IOT_DATA_INGESTION.name)]
    }
    assert answer.said("clean stops at iot-data-ingestion")[0]["level"] == "ERROR"
    assert "S3 state/clean" in str(answer.says)
    stack.between.plan = lambda _asked: None
    before = heads(stack, "data-processing-output")
    assert stack.invoke("clean", asked).value() == NOTHING
    assert len(of_topic(stack, "data-processing-output", before)) == 1


def test_while_dynamodb_is_throttled_a_batch_waits(stack, since):
    stack.invoke("ingest", {"command": "ping"})
    stack.between.plan = first(ALWAYS, THROTTLED, lambda asked: bool(asked.operation))
    answer = stack.invoke("ingest", batch(stack, {0: [stored(110)]}))
    assert answer.value() == {"batchItemFailures": [failure(stack, 0, 110)]}
    assert answer.metrics()["batch_failures"] == 1


def test_while_kafka_is_away_every_partition_waits(stack):
    function = stack.function(
        "ingest", WATCHKEEPER_KAFKA_BROKERS=f"127.0.0.1:{free_port()}", WATCHKEEPER_KAFKA_TIMEOUT_S="1"
    )
    answer = function.invoke(batch(stack, {0: [stored(120)], 1: [stored(130, "pump-08")]}), time_left_ms=9_000)
    assert answer.value() == {"batchItemFailures": [failure(stack, 0, 120), failure(stack, 1, 130)]}
    assert "Kafka" in str(answer.said("ingest stops"))


def test_a_topic_of_somebody_else_fails_the_whole_invocation(stack):
    answer = stack.invoke("ingest", from_msk("orders", {0: [stored(1)]}))
    assert (answer.kind, answer.body["errorType"]) == ("error", "Undeclared")
    assert "no topic of the pipeline" in answer.body["errorMessage"]


def test_log_lines_are_objects_with_the_batchs_place(stack, since):
    answer = stack.invoke("ingest", batch(stack, {0: [Stored(140, 0, b"[[", {}), stored(141)]}))
    assert answer.value() == NOTHING
    answer = stack.function("ingest").invoke(batch(stack, {0: [stored(150)], 1: [stored(5)]}), time_left_ms=1)
    (line,) = answer.said("little time is left")
    assert line["service"] == "ingest"
    assert line["correlation_id"].endswith("device-telemetry-0@150," + line["correlation_id"].split(",")[1])
    assert line["request_id"]
