import asyncio
import dataclasses

import msgspec
import pytest

from tests.unit.api.conftest import NOW, CountedTransactions
from watchkeeper.errors import Unavailable
from watchkeeper.packs import Pack
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import Cutoff, DeadLetter, Importance, Switches
from watchkeeper.topology import BATCH_DATA_INGESTION, CUTOFFS, DEAD_LETTER, IOT_DATA_INGESTION
from watchkeeper_api import Client, Limits, key_digest
from watchkeeper_api.gate import Gate, Room

READING = {"device": "pump-7", "ts": NOW - 1_000, "values": {"pressure": 4.2}, "tags": {"line": "b"}, "site": "basel"}
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}


class DownStream:
    """A stream whose broker is away."""

    def append(self, topic, messages):
        raise Unavailable("broker-1:9092 does not answer")


@pytest.mark.parametrize("body", [READING, [READING], {"readings": [READING]}])
def test_a_reading_is_on_its_topic_when_202_is_said(api, readings_on, body):
    answer = api.post("/ingest/realtime", json=body)
    assert (answer.status_code, answer.json()) == (
        202,
        {"accepted": 1, "rejected": [], "rejected_count": 0, "shed": 0},
    )
    (reading,) = readings_on(IOT_DATA_INGESTION)
    assert (reading.device, reading.ts, reading.values) == ("pump-7", NOW - 1_000, {"pressure": 4.2})
    assert (reading.site, reading.tags, reading.received) == ("basel", {"line": "b"}, NOW)


def test_a_batch_goes_to_the_topic_for_batches(api, readings_on):
    assert api.post("/ingest/batch", json=[READING]).status_code == 202
    assert len(readings_on(BATCH_DATA_INGESTION)) == 1
    assert readings_on(IOT_DATA_INGESTION) == []


def test_a_table_is_taken_row_by_row(api, readings_on):
    table = f"device,ts,pressure,flow\npump-7,{NOW},4.2,\npump-8,{NOW},4.3,11\n"
    answer = api.post("/ingest/csv", content=table, headers={"content-type": "text/csv; charset=utf-8"})
    assert answer.json()["accepted"] == 2
    assert {reading.device for reading in readings_on(BATCH_DATA_INGESTION)} == {"pump-7", "pump-8"}


def test_a_table_without_a_device_column_is_of_the_device_in_the_query(api, readings_on):
    answer = api.post("/ingest/csv?device=pump-9", content="ts;pressure\n;4,2\n".encode("utf-16"), headers=CSV)
    assert answer.json()["accepted"] == 1
    (reading,) = readings_on(BATCH_DATA_INGESTION)
    assert (reading.device, reading.values) == ("pump-9", {"pressure": 4.2})


def test_a_table_of_no_device_is_a_400_that_says_where_to_name_it(api):
    answer = api.post("/ingest/csv", content="ts,pressure\n,4.2\n", headers=CSV)
    assert answer.status_code == 400
    assert "?device=NAME" in answer.json()["error"]["message"]


@pytest.mark.parametrize("device", ["", "a b", "%C3%A4"])
def test_a_device_in_the_query_that_cannot_be_is_a_400(api, device):
    answer = api.post(f"/ingest/csv?device={device}", content="pressure\n4.2\n", headers=CSV)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "query.device")


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/ndjson; charset=utf-8"])
@pytest.mark.parametrize("path", ["/ingest/realtime", "/ingest/batch"])
def test_lines_of_json_are_taken_one_by_one(api, path, kind):
    lines = b"\n\n".join([msgspec.json.encode(READING), b"{", msgspec.json.encode(READING)])
    told = api.post(path, content=lines, headers={"content-type": kind}).json()
    assert (told["accepted"], [item["index"] for item in told["rejected"]]) == (2, [1])


@pytest.mark.parametrize("kind", ["application/msgpack", "application/x-msgpack"])
@pytest.mark.parametrize("path", ["/ingest/realtime", "/ingest/batch"])
def test_messagepack_is_taken_as_json_is(api, path, kind):
    body = msgspec.msgpack.encode({"readings": [READING, {"device": "pump-7"}]})
    told = api.post(path, content=body, headers={"content-type": kind}).json()
    assert (told["accepted"], [item["index"] for item in told["rejected"]]) == (1, [1])


def test_bad_readings_are_named_and_kept_apart_and_their_neighbours_are_taken(api, ports):
    bad = {"device": "pump-7", "ts": "yesterday", "values": {"pressure": 4.2}}
    answer = api.post("/ingest/realtime", json=[READING, bad, READING, {"device": "pump-7"}])
    assert answer.status_code == 202
    told = answer.json()
    assert told["accepted"] == 2
    assert [(item["index"], bool(item["reason"])) for item in told["rejected"]] == [(1, True), (3, True)]
    letters = [
        msgspec.json.decode(stored.value, type=DeadLetter) for stored in ports.stream.read(DEAD_LETTER.name, 0, -1, 10)
    ]
    assert [letter.index for letter in letters] == [1, 3]


def test_the_list_of_rejected_readings_is_limited_but_their_number_is_not(api):
    told = api.post("/ingest/batch", json=[0] * 1_500).json()
    assert (told["accepted"], len(told["rejected"]), told["rejected_count"]) == (0, 1_000, 1_500)


def test_readings_refused_by_the_budget_are_said_to_be_shed(make_api, ports, keep):
    keep(CUTOFFS, *CURRENT_CUTOFF, Cutoff("cutoff", now=Switches(refuse=(Importance.NORMAL,))))
    told = make_api().post("/ingest/realtime", json=READING).json()
    assert (told["accepted"], told["shed"], told["rejected_count"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/ingest/realtime", b"", JSON),
        ("/ingest/realtime", b"{", JSON),
        ("/ingest/realtime", b"17", JSON),
        ("/ingest/batch", b'{"readings": 3}', JSON),
        ("/ingest/batch", b"\xff\xfe", JSON),
        ("/ingest/batch", b"\n", {"content-type": "application/x-ndjson"}),
        ("/ingest/batch", b"{}", {"content-type": "application/msgpack"}),
        ("/ingest/csv", b"", CSV),
        ("/ingest/csv", b"ts,pressure\n1,2\n", CSV),
        ("/ingest/csv", b"device,ts\n\xff,1\n", CSV),
    ],
)
def test_a_body_that_cannot_be_understood_is_a_400_and_leaves_nothing(api, ports, path, body, headers):
    answer = api.post(path, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"
    assert ports.stream.read(DEAD_LETTER.name, 0, -1, 10) == []
    assert ports.meter.total("0001-01-01", "9999-12-31").get("ingest", {}).get("accepted", 0) == 0


def test_one_unusable_body_in_company_costs_the_others_nothing(make_api, ports, readings_on):
    api = make_api(ports=dataclasses.replace(ports, transaction=CountedTransactions(0.02)))
    bodies = [msgspec.json.encode(READING)] * 5 + [b"{"] + [msgspec.json.encode(READING)] * 5
    asked = [("POST", "/ingest/realtime", {"content": body, "headers": JSON}) for body in bodies]
    statuses = [answer.status_code for answer in api.ask_all(asked)]
    assert statuses == [202] * 5 + [400] + [202] * 5
    assert len(readings_on(IOT_DATA_INGESTION)) == 10


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "text/csv"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "br"},
        {"content-type": "application/json", "content-encoding": "gzip, gzip"},
        {"content-type": "application/json", "content-encoding": ""},
    ],
)
def test_a_body_of_another_type_is_a_415(api, headers):
    answer = api.post("/ingest/realtime", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_an_announced_body_that_is_too_large_is_a_413_before_it_is_read(make_api):
    api = make_api(limits=Limits(max_body_bytes=100))
    answer = api.post("/ingest/realtime", content=b"[" + b" " * 100, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_body_without_an_announced_length_is_read_only_up_to_the_limit(make_api):
    api = make_api(limits=Limits(max_body_bytes=100))
    sent = []

    async def endless():
        while True:
            sent.append(64)
            yield b" " * 64

    assert api.post("/ingest/realtime", content=endless(), headers=JSON).status_code == 413
    assert sum(sent) <= 192


def test_the_tenant_is_the_one_of_the_key_and_cannot_be_sent(make_api, ports):
    api = make_api(api_keys={key_digest("k1"): Client("plant", "acme")})
    headers = {"x-api-key": "k1"}
    assert api.post("/ingest/realtime", json=READING, headers=headers).json()["accepted"] == 1
    claimed = READING | {"tenant": "other"}
    assert api.post("/ingest/realtime", json=claimed, headers=headers).json()["rejected_count"] == 1
    logs = [ports.stream.read(IOT_DATA_INGESTION.name, partition, -1, 10) for partition in range(2)]
    (pack,) = [Pack.decode(stored.value) for log in logs for stored in log]
    assert [device.tenant for device in pack.devices] == ["acme"]


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_of_a_request_has_a_sensible_length(api, key):
    answer = api.post("/ingest/realtime", json=READING, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "header.Idempotency-Key")


@pytest.mark.parametrize("group_commit", [True, False])
def test_nothing_is_acknowledged_while_the_stream_is_down(make_api, ports, group_commit):
    api = make_api(ports=dataclasses.replace(ports, stream=DownStream()), group_commit=group_commit)
    answers = api.ask_all([("POST", "/ingest/realtime", {"json": READING})] * 5)
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    assert {answer.json()["error"]["code"] for answer in answers} == {"unavailable"}
    assert "ingest" not in ports.meter.total("0001-01-01", "9999-12-31")


def test_fifty_requests_at_once_share_a_few_transactions(make_api, ports, readings_on):
    transactions = CountedTransactions(0.02)
    api = make_api(ports=dataclasses.replace(ports, transaction=transactions))
    answers = api.ask_all([("POST", "/ingest/realtime", {"json": READING | {"device": f"p{n}"}}) for n in range(50)])
    assert [answer.json()["accepted"] for answer in answers] == [1] * 50
    assert len(readings_on(IOT_DATA_INGESTION)) == 50
    assert transactions.count <= 10


def test_without_group_commit_each_request_has_its_own_transaction_and_no_thread_is_left(make_api, ports):
    transactions = CountedTransactions()
    api = make_api(ports=dataclasses.replace(ports, transaction=transactions), group_commit=False)
    answers = api.ask_all([("POST", "/ingest/batch", {"json": READING})] * 7)
    assert {answer.status_code for answer in answers} == {202}
    assert transactions.count == 7


def test_what_requests_cost_is_metered(api, ports):
    api.post("/ingest/realtime", json=[READING, READING])
    counted = ports.meter.total("0001-01-01", "9999-12-31")["ingest"]
    assert (counted["accepted"], counted["messages"], counted["invocations"]) == (2, 1, 1)
    assert counted["bytes_in"] > 100
    assert "busy_us" in counted


def test_when_too_many_requests_wait_others_are_told_to_come_again(api, monkeypatch):
    monkeypatch.setattr(api.app.state.services.intake, "_gate", Gate(lambda *_: [], Room(waiting_requests=0)))
    answer = api.post("/ingest/realtime", json=READING)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "made durable" in answer.json()["error"]["message"]


def test_after_the_application_has_ended_requests_are_told_to_come_again(api):
    async def live_and_end():
        async with api.app.router.lifespan_context(api.app):
            pass

    assert api.post("/ingest/realtime", json=READING).status_code == 202
    asyncio.run(live_and_end())
    assert api.post("/ingest/realtime", json=READING).status_code == 503
