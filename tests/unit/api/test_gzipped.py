"""Compressed bodies: taken as if they were not, and never unpacked further than the limit."""

import gzip
import random
import tracemalloc
import zlib

import msgspec
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper.intake.gzipped import MAX_MEMBERS, Gunzip, NotGzipError, OverLimitError
from watchkeeper_api import Limits

READING = msgspec.json.encode({"device": "pump-7", "ts": NOW, "values": {"pressure": 4.2}})
LIMIT = 10_000_000
GZIP = {"content-encoding": "gzip"}
JSON = {"content-type": "application/json"} | GZIP
ROUTES = [
    ("/ingest/realtime", "application/json", READING),
    ("/ingest/batch", "application/x-ndjson", READING),
    ("/ingest/batch", "application/msgpack", msgspec.msgpack.encode(msgspec.json.decode(READING))),
    ("/ingest/csv", "text/csv", b"device,pressure\npump-7,4.2\n"),
]


def gunzipped(*chunks, limit=LIMIT):
    unpacking = Gunzip(limit)
    found = [unpacking.feed(chunk) for chunk in chunks]
    unpacking.end()
    return b"".join(found)


@pytest.mark.parametrize(("path", "kind", "body"), ROUTES)
@pytest.mark.parametrize("encoding", ["gzip", "GZip", "x-gzip"])
def test_every_form_of_body_may_be_compressed(api, path, kind, body, encoding):
    headers = {"content-type": kind, "content-encoding": encoding}
    answer = api.post(path, content=gzip.compress(body), headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_a_413(make_api):
    api = make_api(limits=Limits(max_body_bytes=500))
    whole = READING + b" " * (500 - len(READING))
    assert api.post("/ingest/realtime", content=gzip.compress(whole), headers=JSON).status_code == 202
    answer = api.post("/ingest/realtime", content=gzip.compress(whole + b" "), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert "unpacked" in answer.json()["error"]["message"]


def test_what_is_sent_may_not_be_over_the_limit_either(make_api):
    api = make_api(limits=Limits(max_body_bytes=100))
    answer = api.post("/ingest/realtime", content=gzip.compress(random.Random(1).randbytes(200)), headers=JSON)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        READING,
        zlib.compress(READING),
        gzip.compress(READING)[:-1],
        gzip.compress(READING)[:5],
        gzip.compress(READING)[:-8] + b"\0" * 8,
        gzip.compress(READING) + b"more",
    ],
    ids=["nothing", "plain", "zlib", "cut off", "its header", "another checksum", "something behind it"],
)
def test_what_is_not_gzip_is_a_400(api, body):
    answer = api.post("/ingest/realtime", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "body")
    assert "the body is not gzip" in answer.json()["error"]["message"]


def test_commands_are_not_compressed(api):
    answer = api.post("/api/alerts/a/acknowledge", content=gzip.compress(b"{}"), headers=JSON)
    assert (answer.status_code, answer.json()["error"]["where"]) == (415, "header.Content-Encoding")


def test_a_bomb_is_read_no_further_and_costs_no_more_than_the_limit(make_api):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"\0" * 1_000_000
    bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    assert len(bomb) < 200_000  # a fifth of a gigabyte
    api = make_api(limits=Limits(max_body_bytes=2_000_000))
    sent = []

    async def chunks():
        for start in range(0, len(bomb), 1_000):
            sent.append(1_000)
            yield bomb[start : start + 1_000]

    assert api.post("/ingest/batch", content=chunks(), headers=JSON).status_code == 413
    assert sum(sent) < 5_000
    tracemalloc.start()
    try:
        for pieces in ([bomb], [bomb[start : start + 1_000] for start in range(0, len(bomb), 1_000)]):
            tracemalloc.reset_peak()
            with pytest.raises(OverLimitError):
                gunzipped(*pieces, limit=2_000_000)
            assert tracemalloc.get_traced_memory()[1] < 4 * 2_000_000
    finally:
        tracemalloc.stop()


def test_members_one_after_another_are_one_body_however_they_are_cut():
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert gunzipped(packed) == b"one two"
    assert gunzipped(*(packed[at : at + 1] for at in range(len(packed)))) == b"one two"


def test_a_host_of_empty_members_is_refused_before_it_costs_much():
    assert gunzipped(gzip.compress(b"") * MAX_MEMBERS) == b""
    with pytest.raises(NotGzipError, match="more than"):
        gunzipped(gzip.compress(b"") * 400_000)


def test_whatever_is_sent_is_unpacked_as_it_was_or_refused():
    chance = random.Random("gzip")
    refused = 0
    for _ in range(3_000):
        whole = chance.choice([READING * 9, chance.randbytes(50), b"\0" * 9_000])
        packed = bytearray(gzip.compress(whole, chance.randrange(10)))
        for _ in range(chance.choice([0, 1, 1, 4])):
            packed[chance.randrange(len(packed))] = chance.randrange(256)
        cut = chance.randrange(len(packed) + 1)
        try:
            found = gunzipped(bytes(packed[:cut]), bytes(packed[cut:]), limit=5_000)
        except (NotGzipError, OverLimitError):
            refused += 1
        else:
            assert found == whole
    assert 500 < refused < 2_900
