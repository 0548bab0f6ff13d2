"""Uploads: taken slice by slice, in bounded memory, the same whole again stored once."""

import asyncio
import gzip
import io
import tracemalloc

import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.errors import Unavailable
from watchkeeper.intake import slices
from watchkeeper.intake.slices import SLICE_BYTES
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_api import Limits

CSV = {"content-type": "text/csv"}
KEY = {"idempotency-key": "whole"}


def table(rows, first=NOW - 10_000_000):
    text = "".join(f"{first + i},pump-{i % 7},{i}.25,{'x' * 60}\n" for i in range(rows))
    return f"ts,device,flow,tag.note\n{text}".encode()


BODY = table(20_000)


def count(ports):
    return ports.meter.total("0001-01-01", "9999-12-31").get("ingest", {}).get("accepted", 0)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_table_of_many_slices_is_taken_whole(api, readings_on, ports, encoding):
    content = gzip.compress(BODY) if encoding else BODY
    headers = CSV | ({"content-encoding": encoding} if encoding else {})
    answer = api.post("/ingest/upload", content=content, headers=headers)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected_count"]) == (202, 20_000, 0)
    assert count(ports) == 20_000
    assert len({(r.device, r.ts) for r in readings_on(BATCH_DATA_INGESTION)}) == 20_000
    assert len(BODY) > 2 * SLICE_BYTES


def test_lines_are_uploaded_and_bad_ones_are_named_by_their_place_in_the_whole(api):
    lines = [b'{"device":"a","ts":%d,"values":{"v":%d}}' % (NOW - i, i) for i in range(30_000)]
    lines[29_000] = b"{"
    answer = api.post("/ingest/upload", content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"})
    told = answer.json()
    assert (told["accepted"], [item["index"] for item in told["rejected"]]) == (29_999, [29_000])


def test_the_whole_again_under_its_key_is_answered_the_same_and_stored_once(make_api, ports):
    body = BODY + b"1,2\n"
    first = make_api().post("/ingest/upload", content=body, headers=CSV | KEY)
    again = make_api().post(
        "/ingest/upload", content=gzip.compress(body), headers=CSV | KEY | {"content-encoding": "gzip"}
    )
    assert first.json() == again.json()
    assert (first.json()["accepted"], first.json()["rejected_count"]) == (20_000, 1)
    assert count(ports) == 20_001


def test_what_was_cut_off_is_completed_by_sending_the_whole_again(make_api, ports):
    api = make_api()

    async def cut_off():
        sent = []
        chunks = iter([BODY[: SLICE_BYTES * 2]])

        async def receive():
            chunk = next(chunks, None)
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": True}

        async def send(message):
            sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in (CSV | KEY).items()]
        scope = {
            "type": "http", "method": "POST", "path": "/ingest/upload", "query_string": b"", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("w", 80), "scheme": "http", "http_version": "1.1", "state": {},
            "raw_path": b"/ingest/upload", "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await api.app(scope, receive, send)
        return sent[0]["status"]

    assert asyncio.run(cut_off()) == 400
    held = count(ports)
    assert 0 < held < 20_000
    answer = make_api().post("/ingest/upload", content=BODY, headers=CSV | KEY)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 20_000)
    assert count(ports) == 20_000


def test_another_body_under_the_key_is_refused_and_says_what_is_taken(api):
    api.post("/ingest/upload", content=BODY, headers=CSV | KEY)
    answer = api.post("/ingest/upload", content=BODY + table(9, NOW).partition(b"\n")[2], headers=CSV | KEY)
    assert answer.status_code == 409
    assert "readings before that are taken" in answer.json()["error"]["message"]


def test_storage_that_is_away_for_a_while_holds_the_sender_up(api, ports, monkeypatch):
    append, failures = ports.stream.append, [Unavailable("away")] * 3

    def shaky(topic, messages):
        if failures:
            raise failures.pop()
        append(topic, messages)

    monkeypatch.setattr(ports.stream, "append", shaky)
    assert api.post("/ingest/upload", content=BODY, headers=CSV).json()["accepted"] == 20_000
    assert failures == []


def test_an_upload_waits_while_the_pipeline_has_enough_to_do(make_api, ports):
    asked = []

    def waits():
        asked.append(count(ports))
        return len(asked) < 4

    assert make_api(bulk_waits=waits).post("/ingest/upload", content=BODY, headers=CSV).status_code == 202
    assert asked[:4] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"flow\n1\n", CSV, "?device=NAME"),
        (b"\x1f\x8b" + b"x" * 30, CSV | {"content-encoding": "gzip"}, "not gzip"),
        (b"x" * 1_000_000, CSV, "no line ends"),
        (b"device,v\n" + b"a,no\n" * 300_000, CSV, "none of the first"),
        (b"\xff\xfea", CSV, "UTF-16"),
        (
            gzip.compress(b"device,v\n" + (b"a," + b"0" * 9_000 + b"\n") * 4_000),
            CSV | {"content-encoding": "gzip"},
            "times what went in",
        ),
    ],
    ids=["whose", "gzip", "one line", "all bad", "half a character", "bomb"],
)
def test_what_cannot_be_read_is_a_400_that_says_why(api, body, headers, why):
    answer = api.post("/ingest/upload", content=body, headers=headers)
    assert answer.status_code == 400, answer.text
    assert why in answer.json()["error"]["message"]


def test_more_than_may_come_out_is_refused(make_api):
    answer = make_api(limits=Limits(max_upload_bytes=700_000)).post("/ingest/upload", content=BODY, headers=CSV)
    assert answer.status_code == 400
    assert "send it in parts" in answer.json()["error"]["message"]


def test_json_is_not_uploaded(api):
    assert api.post("/ingest/upload", content=b"[]", headers={"content-type": "application/json"}).status_code == 415


def test_memory_is_bounded_by_a_slice_and_not_by_the_body(make_api, ports, monkeypatch):
    monkeypatch.setattr(ports.stream, "append", lambda topic, messages: None)
    monkeypatch.setattr(slices, "SLICE_BYTES", SLICE_BYTES // 4)  # four slices against sixteen: tracing is slow
    api = make_api()

    def packed(rows):
        written = io.BytesIO()
        with gzip.open(written, "wb", 1) as file:
            file.write(table(rows))
        return written.getvalue()

    def upload(body):
        return api.post("/ingest/upload", content=body, headers=CSV | {"content-encoding": "gzip"}).json()["accepted"]

    def peak(rows):
        body = packed(rows)
        tracemalloc.start()
        taken = upload(body)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken == rows
        return held

    peak(2_000)
    assert peak(20_000) < 1.5 * peak(4_000)
