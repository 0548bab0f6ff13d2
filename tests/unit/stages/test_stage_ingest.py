"""ingest: good readings into packs, bad ones to dead letters, and every one of them counted."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stages.driving import NOW, Drive, changed, values_of
from watchkeeper.intake import sent
from watchkeeper.outcome import RawMessage
from watchkeeper.packs import MAX_PACK_BYTES
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import Cutoff, Importance, Switches
from watchkeeper.stages.ingest import REFUSED, admit
from watchkeeper.topology import BATCH_DATA_INGESTION, CUTOFFS, IOT_DATA_INGESTION

GOOD = {"values": {"flow": 1.5}}
TOY = "class: toy\nmatch: ['toy-*']\nimportance: low\n"


def send(drive, body, device="pump-07", received=NOW):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return drive.take(data, device=device, tenant="default", received=str(received))


def post(drive, body, form="json", request="request-1", received=NOW, topic=BATCH_DATA_INGESTION):
    """A request; answers its receipt and what was counted."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    receipts = []

    def decide(ctx):
        outcome, made = admit([RawMessage(data, received, "default", "", form, request)], topic, ctx)
        receipts.extend(made)
        return outcome

    counts = drive.runner.request(decide)
    return receipts[0], counts


def cut_off(drive):
    """The budget is spent."""
    record = Cutoff("cutoff", NOW, "2026-11", Switches(model_calls=False, refuse=(Importance.LOW,)), Switches())
    drive.ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, msgspec.json.encode(record))
    drive.now += 60_000


def test_a_devices_message_becomes_a_pack_of_the_device_that_was_authenticated():
    drive = Drive("ingest")
    counts = send(drive, {**GOOD, "device": "somebody-else", "ts": NOW - 10, "tags": {"line": 7}, "site": "south"})
    [pack] = drive.came(IOT_DATA_INGESTION)
    [reading] = pack.readings()
    assert (reading.device, reading.ts, reading.received, reading.tags) == ("pump-07", NOW - 10, NOW, {"line": "7"})
    assert reading.site == "north"  # the catalogue knows better where pump-07 is
    assert counts["accepted"] == 1
    assert not drive.dead()


def test_the_site_is_what_was_sent_where_the_catalogue_does_not_know():
    drive = Drive("ingest")
    send(drive, {**GOOD, "site": "south"}, device="pump-99")
    assert [reading.site for pack in drive.came(IOT_DATA_INGESTION) for reading in pack.readings()] == ["south"]


BAD = [
    ({**GOOD, "colour": "red"}, "unknown field `colour`"),
    ({"values": {"flow": "fast"}}, "Expected `float | null`"),
    ({"values": {}}, "no values"),
    ({"values": {"fl\now": 1}}, "metric name"),
    ({"values": {str(n): 1 for n in range(300)}}, "300 values; at most 256"),
    ({**GOOD, "ts": 1_795_000_000}, "is it in seconds"),
    ({**GOOD, "ts": "yesterday"}, "neither ISO 8601 nor epoch"),
    ({**GOOD, "ts": 10**50}, "between the years"),
    ({**GOOD, "tags": {"line": "x" * 300}}, "at most 256 printable"),
    ({**GOOD, "site": "a b"}, "site 'a b'"),
    ({"values": {"flow": float("nan")}}, "finite number"),
    ({"values": {"flow": float("-inf")}}, "NaN or Infinity"),
    ("a text", "Expected `object`"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_reading_is_a_dead_letter_with_its_reason_and_its_neighbours_pass(bad, reason):
    drive = Drive("ingest")
    counts = send(drive, [{"values": {"flow": 1}}, bad, {"values": {"flow": 2}}])
    [letter] = drive.dead()
    assert reason in letter.reason
    assert (letter.stage, letter.topic, letter.offset, letter.index) == ("ingest", "device-telemetry", 0, 1)
    assert letter.device == "pump-07"
    assert [values["flow"] for _, _, values in values_of(drive.came(IOT_DATA_INGESTION))] == [1, 2]
    assert (counts["accepted"], counts["dead"]) == (3, 1)


def test_a_body_that_is_no_json_is_kept_to_the_byte_and_hurts_no_other_message():
    drive = Drive("ingest")
    garbage = b"\xde\xad{not json"
    drive.put(json.dumps(GOOD).encode(), garbage, json.dumps(GOOD).encode(), device="pump-07", received=str(NOW))
    counts = drive.take()
    [letter] = drive.dead()
    assert (letter.body, letter.offset) == (garbage, 1)
    assert "not JSON" in letter.reason
    assert len(values_of(drive.came(IOT_DATA_INGESTION))) == 2
    assert (counts["accepted"], counts["dead"]) == (3, 1)


def test_a_device_whose_name_cannot_be_is_dead_lettered_not_crashed_on():
    drive = Drive("ingest")
    send(drive, GOOD, device="two words")
    assert "device 'two words'" in drive.dead()[0].reason


def test_a_message_of_too_many_readings_is_refused_whole(monkeypatch):
    monkeypatch.setattr(sent, "MAX_READINGS", 5)
    drive = Drive("ingest")
    send(drive, [GOOD] * 6)
    assert "more than 5 readings in one body" in drive.dead()[0].reason
    assert not drive.came(IOT_DATA_INGESTION)


def test_the_same_message_again_makes_the_same_readings():
    drive = Drive("ingest")
    body = json.dumps([GOOD, {**GOOD, "ts": NOW}, GOOD]).encode()
    drive.put(body, device="pump-07", received=str(NOW))
    messages = drive.ports.stream.read("device-telemetry", 0, -1, 10)
    drive.runner.take(0, messages)
    drive.restart()
    drive.runner.take(0, messages)
    first, second = drive.came(IOT_DATA_INGESTION)
    assert first.encode() == second.encode()
    ids = first.ids(first.tables[0]).tolist()
    assert len(set(ids)) == 3


def test_two_messages_without_a_time_are_two_readings_though_they_came_at_once():
    drive = Drive("ingest")
    drive.put(*[json.dumps(GOOD).encode()] * 2, device="pump-07", received=str(NOW))
    drive.take()
    [pack] = drive.came(IOT_DATA_INGESTION)
    assert len(set(pack.ids(pack.tables[0]).tolist())) == 2


def test_a_request_that_is_sent_again_makes_the_same_ids_whenever_it_arrives():
    drive = Drive("ingest")
    body = [{"device": "pump-1", **GOOD}, {"device": "pump-1", **GOOD}, {"device": "pump-2", **GOOD}]
    post(drive, body, received=NOW)
    post(drive, body, received=NOW + 9_000)
    post(drive, body, request="request-2")
    first, again, other = (pack.ids(pack.tables[0]).tolist() for pack in drive.came(BATCH_DATA_INGESTION))
    assert first == again
    assert len({*first, *other}) == 6


def test_a_request_names_devices_and_its_receipt_says_what_became_of_each_reading():
    drive = Drive("ingest")
    body = [{"device": "pump-1", **GOOD}, GOOD, {"device": "pump-2", "values": {}}, {"device": "x", **GOOD}]
    receipt, counts = post(drive, body)
    assert receipt.accepted == 2
    assert [(r.index, r.reason[:6]) for r in receipt.rejected] == [(1, "device"), (2, "no val")]
    assert (counts["accepted"], counts["dead"]) == (4, 2)
    assert sorted(letter.index for letter in drive.dead()) == [1, 2]
    assert sorted(device for device, _, _ in values_of(drive.came(BATCH_DATA_INGESTION))) == ["pump-1", "x"]


def test_a_request_of_which_nothing_is_understood_is_told_so_and_keeps_nothing():
    drive = Drive("ingest")
    receipt, counts = post(drive, b"\x00")
    assert "not JSON" in receipt.error
    assert counts["accepted"] == counts["dead"] == 0
    assert not drive.dead()


def test_csv_goes_the_same_way_as_json():
    drive = Drive("ingest")
    body = b"device,ts,site,tag.line,flow,pressure\npump-1,2026-11-18T12:00:00Z,east,7,1.5,\npump-1,,,,2,inf\npump-1\n"
    receipt, _ = post(drive, body, form="csv")
    assert receipt.accepted == 1
    assert [rejection.index for rejection in receipt.rejected] == [1, 2]
    [reading] = drive.came(BATCH_DATA_INGESTION)[0].readings()
    assert (reading.ts, reading.site, reading.tags) == (1_795_003_200_000, "east", {"line": "7"})
    assert reading.values == {"flow": 1.5, "pressure": None}


def test_a_great_request_is_divided_into_packs_that_fit_and_nothing_is_lost():
    drive = Drive("ingest", shards=1)
    body = [{"device": f"pump-{n % 9}", "ts": NOW + n, "values": {"a": n / 7, "b": n * 1.1}} for n in range(8000)]
    receipt, _ = post(drive, body)
    stored = drive.ports.stream.read("batch-data-ingestion", 0, -1, 1000)
    assert receipt.accepted == 8000
    assert len(stored) > 1
    assert max(len(message.value) for message in stored) <= MAX_PACK_BYTES
    came = values_of(drive.came(BATCH_DATA_INGESTION))
    assert sorted(ts for _, ts, _ in came) == [NOW + n for n in range(8000)]
    for device in {device for device, _, _ in came}:
        times = [ts for name, ts, _ in came if name == device]
        assert times == sorted(times)


def test_packs_go_to_the_shards_of_their_devices():
    drive = Drive("ingest", shards=8)
    post(drive, [{"device": f"pump-{n}", **GOOD} for n in range(30)])
    shards = {pack.shard: {r.device for r in pack.readings()} for pack in drive.came(BATCH_DATA_INGESTION)}
    assert len(shards) > 3
    assert sum(map(len, shards.values())) == 30


def test_when_the_budget_is_spent_devices_of_low_importance_are_refused_and_counted_and_no_others():
    drive = Drive("ingest", bundle=changed(devices__toy=TOY))
    body = [{"device": "toy-1", **GOOD}, {"device": "pump-1", **GOOD}, {"device": "toy-2", "values": {}}]
    receipt, _ = post(drive, body)
    assert (receipt.accepted, receipt.shed) == (2, 0)
    drive.came(BATCH_DATA_INGESTION)
    cut_off(drive)
    receipt, counts = post(drive, body)
    assert [(r.index, r.reason) for r in receipt.rejected] == [(0, REFUSED), (2, "no values")]
    assert (counts["accepted"], counts["shed"], counts["dead"]) == (3, 1, 1)
    assert [device for device, _, _ in values_of(drive.came(BATCH_DATA_INGESTION))] == ["pump-1"]
    assert send(drive, GOOD, device="toy-1")["shed"] == 1
    assert not drive.came(IOT_DATA_INGESTION)


item = st.sampled_from([{"device": "toy-1", **GOOD}, {"device": "pump-1", **GOOD}, {"device": "p p", **GOOD}, 7, {}])


@given(bodies_sent=st.lists(st.lists(item, max_size=6), max_size=4), spent=st.booleans())
def test_whatever_is_accepted_is_passed_on_or_dead_or_shed(bodies_sent, spent):
    drive = Drive("ingest", bundle=changed(devices__toy=TOY))
    if spent:
        cut_off(drive)
    for number, body in enumerate(bodies_sent):
        _, counts = post(drive, body, request=str(number))
        passed = len(values_of(drive.came(BATCH_DATA_INGESTION)))
        assert counts["accepted"] == len(body) == passed + counts["dead"] + counts["shed"]
