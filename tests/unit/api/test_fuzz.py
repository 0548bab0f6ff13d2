"""Whatever is sent, it is not an error on our side."""

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from watchkeeper_api import Limits
from watchkeeper_api.schemas import ErrorAnswer, IngestAnswer


def msgpack_of(item):
    """As MessagePack, where it can hold the item: its integers end at 64 bits."""
    try:
        return msgspec.msgpack.encode(item)
    except OverflowError:
        return b"\x80"


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**11, 10**13),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["2026-11-22T10:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "pump-7"]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=8), SCALARS, max_size=3))
READINGS = st.fixed_dictionaries(
    {},
    optional={
        "device": st.one_of(st.just("pump-7"), VALUES),
        "ts": VALUES,
        "values": VALUES,
        "tags": VALUES,
        "site": VALUES,
        "tenant": VALUES,
    },
)
DOCUMENTS = st.one_of(VALUES, READINGS, st.lists(st.one_of(READINGS, VALUES), max_size=4))
BODIES = st.one_of(
    st.binary(max_size=200),
    DOCUMENTS.map(msgspec.json.encode),
    DOCUMENTS.map(lambda item: msgspec.json.encode({"readings": item})),
    st.lists(DOCUMENTS.map(msgspec.json.encode), max_size=4).map(b"\n".join),
    st.one_of(READINGS, st.lists(READINGS, max_size=4)).map(msgpack_of),
    st.text(alphabet='device,ts\n";1.é\0', max_size=80).map(lambda text: f"device,ts,v\n{text}".encode()),
)


@pytest.fixture
def api(make_api):
    """One for all examples of a test, as its ports are."""
    return make_api(limits=Limits(requests_per_second=0), group_commit=False)


def check(answer, good):
    assert answer.status_code in {202, 200, 400, 404}, answer.text
    if answer.is_success:
        msgspec.json.decode(answer.content, type=good)
    else:
        assert msgspec.json.decode(answer.content, type=ErrorAnswer).error.message


@FUZZ
@given(body=BODIES)
@example(body=b"[" * 100_000)
@example(body=b'{"readings":' * 20_000)
@example(body=b'{"device":"a","values":{"a":1e999}}')
@example(body=b'{"device":"\\ud800","values":{"a":1}}')
@example(body=b'{"device":"a","ts":"\\ud800","values":{"\\udfff":1}}')
@example(body=b'{"device":"a","ts":1e308,"values":{"v":123456789012345678901234567890}}')
@example(body=b"\xef\xbb\xbf[]")
def test_any_body_of_readings_is_taken_or_refused(api, body):
    for path, kind in (
        ("/ingest/realtime", "application/json"),
        ("/ingest/realtime", "application/x-ndjson"),
        ("/ingest/batch", "application/msgpack"),
        ("/ingest/csv", "text/csv"),
        ("/ingest/csv?device=pump-7", "text/csv"),
    ):
        check(api.post(path, content=body, headers={"content-type": kind}), IngestAnswer)


@FUZZ
@given(body=BODIES, name=st.text(max_size=20))
@example(body=b'{"by": "\\ud800"}', name="x")
def test_any_command_is_done_or_refused(api, body, name):
    quoted = "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass")) or "x"
    for path in (f"/api/alerts/{quoted}/acknowledge", f"/api/anomalies/{quoted}/review"):
        check(api.post(path, content=body, headers={"content-type": "application/json"}), dict)


NAMES = st.one_of(st.sampled_from(["rules/a.yaml", "devices/b.yaml", "runbooks/c.md"]), st.text(max_size=12))
TEXTS = st.one_of(
    st.none(), st.text(max_size=60), st.text(alphabet="above:for -[]{}&*!|>1\n", max_size=80), VALUES.map(repr)
)
KNOWLEDGE = st.fixed_dictionaries(
    {"files": st.dictionaries(NAMES, TEXTS, max_size=3)},
    optional={
        "base": st.one_of(st.sampled_from(["", "current"]), st.text(max_size=10)),
        "readings": st.lists(READINGS, max_size=3),
        "last": st.one_of(st.sampled_from(["1d", "5m"]), st.text(max_size=8)),
        "to": st.text(max_size=10),
    },
)


@FUZZ
@given(body=st.one_of(BODIES, KNOWLEDGE.map(msgspec.json.encode)), version=st.text(max_size=20))
@example(body=b'{"files": {"rules/\\ud800.yaml": "\\ud800"}}', version="x")
@example(body=b'{"files": {"rules/a.yaml": "a: &a [*a]"}}', version="x")
@example(body=b'{"files": {}, "base": "\\ud800"}', version="\ud800")
def test_any_knowledge_is_taken_or_refused(api, body, version):
    kind = {"content-type": "application/json", "if-match": "*"}
    for path in ("/api/rules/validate", "/api/rules/try", "/api/bundles", "/api/bundles/rollback"):
        answer = api.post(path, content=body, headers=kind)
        assert answer.status_code in {200, 400, 404, 409, 412}, answer.text
        if not answer.is_success:
            assert msgspec.json.decode(answer.content, type=ErrorAnswer).error.message
    quoted = "".join(f"%{byte:02X}" for byte in version.encode("utf-8", "surrogatepass")) or "x"
    for path in (f"/api/bundles/{quoted}", f"/api/bundles/current/diff?against={quoted}"):
        check(api.get(path), dict)


@FUZZ
@given(
    path=st.sampled_from(
        ["/api/devices", "/api/devices/p/series", "/api/anomalies", "/api/alerts", "/api/rules", "/api/bundles"]
    ),
    query=st.dictionaries(
        st.sampled_from(
            [
                "metric",
                "from",
                "to",
                "points",
                "after",
                "before",
                "limit",
                "device",
                "status",
                "severity",
                "device_class",
            ]
        ),
        st.one_of(st.integers().map(str), st.text(max_size=30)),
    ),
)
def test_any_question_is_answered_or_refused(api, path, query):
    check(api.get(path, params=query), dict)


@FUZZ
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["x-api-key", "authorization", "content-type", "content-length", "idempotency-key", "content-encoding"]
        ),
        st.binary(max_size=30),
    )
)
def test_any_headers_are_taken_or_refused(api, headers):
    assert api.post("/ingest/realtime", content=b"[]", headers=headers).status_code < 500
