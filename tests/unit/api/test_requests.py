"""The same request again under its key: answered as before, and stored once; another body under the key: refused."""

import gzip

import msgspec
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.errors import Conflict
from watchkeeper.intake import requests
from watchkeeper.intake.requests import NOTES, SLOTS, WINDOW_MS, Remembered, place_of
from watchkeeper.ports import Key
from watchkeeper.records import RequestSlot
from watchkeeper.topology import BATCH_DATA_INGESTION, DEAD_LETTER, IOT_DATA_INGESTION, REQUESTS

TIMELESS = {"device": "pump-7", "values": {"pressure": 4.2}}
KEY = {"idempotency-key": "a"}


def test_the_same_request_again_gets_the_same_receipt_and_stores_nothing_twice(make_api, readings_on, ports):
    body = [TIMELESS, {"device": "pump-7"}, TIMELESS]
    first = make_api().post("/ingest/realtime", json=body, headers=KEY)
    again = make_api().post("/ingest/realtime", json=body, headers=KEY)  # another process, as after a restart
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.json()["rejected_count"] == 1
    assert len(readings_on(IOT_DATA_INGESTION)) == 2
    assert len(ports.stream.read(DEAD_LETTER.name, 0, -1, 10)) == 1
    assert ports.meter.total("0001-01-01", "9999-12-31")["ingest"]["accepted"] == 3


def test_two_at_once_under_one_key_are_taken_once(make_api, readings_on):
    answers = make_api().ask_all([("POST", "/ingest/realtime", {"json": TIMELESS, "headers": KEY})] * 6)
    assert {(answer.status_code, answer.json()["accepted"]) for answer in answers} == {(202, 1)}
    assert len(readings_on(IOT_DATA_INGESTION)) == 1


@pytest.mark.parametrize("group_commit", [True, False])
def test_who_loses_a_race_between_processes_finds_the_receipt_of_the_other(
    make_api, readings_on, ports, monkeypatch, group_commit
):
    api, other = make_api(group_commit=group_commit), make_api()
    put, to_come, raced = ports.tables.put, [other], []

    def slow(table, key, value, expect):
        if to_come:
            raced.append(to_come.pop().post("/ingest/realtime", json=TIMELESS, headers=KEY).status_code)
        return put(table, key, value, expect)

    monkeypatch.setattr(ports.tables, "put", slow)
    answer = api.post("/ingest/realtime", json=TIMELESS, headers=KEY)
    assert (answer.status_code, answer.json()["accepted"], raced) == (202, 1, [202])
    # Without transactions both were emitted, as the same reading: what clean takes once.
    assert len({(r.device, r.ts) for r in readings_on(IOT_DATA_INGESTION)}) == 1


@pytest.mark.parametrize(
    ("path", "headers"), [("/ingest/realtime", {}), ("/ingest/batch", {}), ("/ingest/realtime", {"x": "y"})]
)
def test_another_body_or_route_under_the_key_is_a_409_and_stores_nothing(make_api, readings_on, path, headers):
    api = make_api()
    api.post("/ingest/realtime", json=TIMELESS, headers=KEY)
    other = TIMELESS if path == "/ingest/batch" else TIMELESS | {"tags": {"a": "b"}}
    answer = api.post(path, json=other, headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert answer.json()["error"]["where"] == "header.Idempotency-Key"
    assert len(readings_on(IOT_DATA_INGESTION)) + len(readings_on(BATCH_DATA_INGESTION)) == 1


def test_a_body_that_could_not_be_understood_uses_up_no_key(api):
    assert (
        api.post("/ingest/realtime", content=b"{", headers=KEY | {"content-type": "application/json"}).status_code
        == 400
    )
    assert api.post("/ingest/realtime", json=TIMELESS, headers=KEY).status_code == 202


def test_a_packed_body_is_the_same_as_its_plain_one(api, readings_on):
    body = msgspec.json.encode(TIMELESS)
    kind = {"content-type": "application/json"} | KEY
    api.post("/ingest/realtime", content=body, headers=kind)
    answer = api.post("/ingest/realtime", content=gzip.compress(body), headers=kind | {"content-encoding": "gzip"})
    assert answer.status_code == 202
    assert len(readings_on(IOT_DATA_INGESTION)) == 1


def test_requests_without_a_key_are_each_their_own_and_not_noted(api, readings_on, ports):
    for _ in range(2):
        api.post("/ingest/realtime", json=TIMELESS)
    assert len(readings_on(IOT_DATA_INGESTION)) == 2
    assert ports.tables.query(REQUESTS.name, "default") == []


def test_the_window_ends(make_api, readings_on):
    make_api().post("/ingest/realtime", json=TIMELESS, headers=KEY)
    make_api(clock=lambda: NOW + WINDOW_MS + 1).post("/ingest/realtime", json=TIMELESS, headers=KEY)
    assert len(readings_on(IOT_DATA_INGESTION)) == 2


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(requests, "SLOTS", 1)
    held = Remembered({}, NOW)
    for number in range(NOTES + 5):
        held.note("t", f"key-{number}", number, (1, 0, 0))
    ((place, slot),) = held.changed()
    assert (place, len(slot.notes), slot.notes[0].body) == (("t", "0000"), NOTES, 5)
    assert len(msgspec.json.encode(slot)) < 12_000
    again = Remembered({place: slot}, NOW)
    assert again.find("t", "key-4") is None
    assert again.find("t", "key-5").body == 5


def test_as_many_requests_as_promised_find_room():
    held = Remembered({}, NOW)
    for number in range(65_000):
        held.note("t", f"key-{number}", number, (1, 0, 0))
    slots = dict(held.changed())
    assert len(slots) <= SLOTS
    assert sum(len(slot.notes) for slot in slots.values()) == 65_000


def test_a_note_is_found_by_its_row(api, ports):
    api.post("/ingest/realtime", json=TIMELESS, headers=KEY)
    place = place_of("default", "a")
    row = ports.tables.get_many(REQUESTS.name, [Key(*place)])[Key(*place)]
    (note,) = msgspec.json.decode(row.value, type=RequestSlot).notes
    assert (note.accepted, note.rejected, note.shed, note.ts) == (1, 0, 0, NOW)


def test_a_race_that_never_ends_is_a_503(make_api, ports, monkeypatch):
    def always(table, key, value, expect):
        raise Conflict("somebody else")

    monkeypatch.setattr(ports.tables, "put", always)
    assert make_api().post("/ingest/realtime", json=TIMELESS, headers=KEY).status_code == 503
