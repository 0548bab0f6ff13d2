"""Bodies: what of them can be read, and what is said of the rest."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.errors import DecodeError
from watchkeeper.intake import sent
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.sent import Bad, SentReading, device_fault, fault_of, time_of

GOOD = {"device": "pump-1", "values": {"flow": 1.5}}


def read(body, form="json"):
    return readings_of(body if isinstance(body, bytes) else json.dumps(body).encode(), form)


@pytest.mark.parametrize("body", [GOOD, [GOOD], {"readings": [GOOD]}], ids=["one", "a list", "a list by name"])
def test_a_reading_comes_alone_or_in_a_list(body):
    assert read(body) == [SentReading({"flow": 1.5}, "pump-1")]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1,", b"\xff\xfe", b"7", b'"text"', b"null", b'{"readings": 3}', b"[" * 5000]
)
def test_a_body_that_is_no_json_of_readings_is_refused_as_a_whole(body):
    with pytest.raises(DecodeError, match="not JSON with a reading"):
        read(body)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"device": "p", "values": {"a": 1}, "unit": "bar"}, "unknown field `unit`"),
        ({"device": "p", "values": {"a": "warm"}}, "Expected `float | null`, got `str`"),
        ({"device": "p", "values": {"a": True}}, "got `bool`"),
        ({"device": "p"}, "missing required field `values`"),
        ({"device": "p", "values": [1]}, "Expected `object`"),
        (7, "Expected `object`, got `int`"),
    ],
)
def test_a_reading_of_the_wrong_shape_is_told_apart_from_its_neighbours(bad, reason):
    found = read([GOOD, bad, GOOD])
    assert isinstance(found[0], SentReading)
    assert isinstance(found[2], SentReading)
    assert reason in found[1].reason
    assert json.loads(found[1].body) == bad


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_spoil_one_reading_and_not_the_list_they_came_in(word):
    body = f'[{json.dumps(GOOD)}, {{"device": "p", "values": {{"a": {word}}}}}, {json.dumps(GOOD)}]'.encode()
    found = read(body)
    assert [isinstance(item, Bad) for item in found] == [False, True, False]
    assert "finite number" in found[1].reason
    assert word.encode() in found[1].body


@pytest.mark.parametrize("ts", [10**30, -(10**30), 10**400, 1e300])
def test_a_time_beyond_all_numbers_is_no_time(ts):
    with pytest.raises(DecodeError, match="between the years"):
        time_of(ts)


@pytest.mark.parametrize(
    ("ts", "ms"),
    [
        (None, None),
        (1_795_000_000_123, 1_795_000_000_123),
        (1_795_000_000_123.7, 1_795_000_000_123),
        ("2026-11-18T12:00:00Z", 1_795_003_200_000),
        ("2026-11-18T12:00:00.250+01:00", 1_794_999_600_250),
        ("2026-11-18 12:00", 1_795_003_200_000),
        ("2026-11-18", 1_794_960_000_000),
    ],
)
def test_times_are_iso_8601_or_epoch_milliseconds_and_utc_unless_they_say_otherwise(ts, ms):
    assert time_of(ts) == ms


@pytest.mark.parametrize(
    "ts", ["", "yesterday", "12:30", "2026-13-01", float("nan"), float("inf"), 0, -5, "1999-12-31", "2300-01-01"]
)
def test_what_is_no_time_is_refused(ts):
    with pytest.raises(DecodeError, match="ts"):
        time_of(ts)


@pytest.mark.parametrize("ts", [1_795_000_000, 1_795_000_000.5])
def test_a_time_in_seconds_gets_a_hint(ts):
    with pytest.raises(DecodeError, match="is it in seconds"):
        time_of(ts)


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (SentReading({}), "no values"),
        (SentReading({"a": float("nan")}), "finite number or null"),
        (SentReading({"a": float("-inf")}), "finite number or null"),
        (SentReading({"": 1.0}), "metric name"),
        (SentReading({"a\n": 1.0}), "metric name"),
        (SentReading({"a" * 129: 1.0}), "metric name"),
        (SentReading({str(n): 1.0 for n in range(257)}), "at most 256"),
        (SentReading({"a": 1.0}, tags={str(n): "x" for n in range(65)}), "at most 64"),
        (SentReading({"a": 1.0}, tags={"": "x"}), "tag name"),
        (SentReading({"a": 1.0}, tags={"line": "x" * 257}), "at most 256 printable"),
        (SentReading({"a": 1.0}, tags={"line": "a\0b"}), "printable"),
        (SentReading({"a": 1.0}, site="north side"), "site 'north side'"),
    ],
)
def test_faults_are_named(sent, fault):
    assert fault in fault_of(sent)


@pytest.mark.parametrize(
    "sent",
    [SentReading({"a": None}), SentReading({"Druck, außen (bar)": 1.0}, tags={"line": 7, "on": True}, site="north")],
)
def test_what_is_unusual_but_sound_has_no_fault(sent):
    assert fault_of(sent) == ""


@pytest.mark.parametrize("device", ["", "-a", "a b", "a/b", "ä", "a" * 129, "a\n"])
def test_device_names_are_plain(device):
    assert "device" in device_fault(device)
    assert device_fault("pump-07.north:A@1_b") == ""


def test_tags_of_any_kind_become_text_as_json_writes_it():
    sent = SentReading({"a": 1.0}, tags={"line": "7", "shift": 2, "on": True, "off": False, "gain": 0.5})
    assert sent.tags_as_text() == (("line", "7"), ("shift", "2"), ("on", "true"), ("off", "false"), ("gain", "0.5"))


def test_a_body_of_too_many_readings_is_refused_before_they_are_looked_at(monkeypatch):
    monkeypatch.setattr(sent, "MAX_READINGS", 3)
    assert len(read([GOOD] * 3)) == 3
    rows = b"device,a\n" + b"p,1\n" * 4
    for body, form in (
        (json.dumps([GOOD] * 4).encode(), "json"),
        (b"[NaN,1,2,3]", "json"),
        (rows, "csv"),
        (b"1\n" * 4, "ndjson"),
        (b"\xdd\x00\x00\x00\x04" + b"\x01" * 4, "msgpack"),
    ):
        with pytest.raises(DecodeError, match="more than 3 readings in one body"):
            read(body, form)


def test_a_line_of_ndjson_is_a_reading_and_a_bad_one_is_told_apart_by_its_place():
    good = json.dumps(GOOD).encode()
    body = b"\xef\xbb\xbf" + b"\n".join(
        [good, b"", b'{"device": "p"', b" \r", good + b"\r", b"[" + good + b"]", b"\xff", good]
    )
    found = read(body, "ndjson")
    assert [index for index, item in enumerate(found) if isinstance(item, Bad)] == [1, 3, 4]
    assert "truncated" in found[1].reason
    assert "Expected `object`, got `array`" in found[3].reason
    assert found[1].body == b'{"device": "p"'
    assert found[0] == found[2] == found[5] == SentReading({"flow": 1.5}, "pump-1")


@pytest.mark.parametrize("body", [b"", b" \r\n\n\t"])
def test_ndjson_without_a_line_is_refused_as_a_whole(body):
    with pytest.raises(DecodeError, match="no line with a reading"):
        read(body, "ndjson")


@pytest.mark.parametrize(
    "body", [GOOD, [GOOD], {"readings": [GOOD]}, {"readings": [GOOD], **{str(n): n for n in range(20)}}]
)
def test_messagepack_has_the_shapes_of_json(body):
    assert read(msgspec.msgpack.encode(body), "msgpack") == [SentReading({"flow": 1.5}, "pump-1")]


def test_a_great_array_of_messagepack_is_read_whole():
    assert len(read(msgspec.msgpack.encode([GOOD] * 70_000), "msgpack")) == 70_000


@pytest.mark.parametrize("bad", [{"device": "p", "values": {"a": "warm"}}, {"device": "p"}, 7, {"values": {}, b"x": 1}])
def test_a_reading_of_messagepack_of_the_wrong_shape_is_told_apart_from_its_neighbours(bad):
    found = read(msgspec.msgpack.encode([GOOD, bad, GOOD]), "msgpack")
    assert found[0] == found[2] == SentReading({"flow": 1.5}, "pump-1")
    assert found[1].reason
    assert found[1].body == msgspec.msgpack.encode(bad)


def test_messagepack_can_say_what_json_cannot_and_it_is_no_value():
    [found] = read(msgspec.msgpack.encode({"device": "p", "values": {"a": float("nan")}}), "msgpack")
    assert "finite number" in fault_of(found)


@pytest.mark.parametrize(
    "body", [b"", b"\x07", b"\xa1x", b"\xc0", b"\x91", b"\x90\x00", b"\xdc\xff\xff", b"\x91" * 5000, b"\x81" * 5000]
)
def test_a_body_that_is_no_messagepack_of_readings_is_refused_as_a_whole(body):
    with pytest.raises(DecodeError, match="not MessagePack with a reading"):
        read(body, "msgpack")


texts = st.text(max_size=8) | st.sampled_from(["device", "ts", "values", "tags", "site", "readings"])
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


small = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=4) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=60)
    | jsons.map(lambda value: json.dumps(value).encode())
    | small.map(msgspec.msgpack.encode),
    form=st.sampled_from(["json", "ndjson", "msgpack", "csv"]),
)
def test_whatever_is_sent_is_understood_told_apart_or_refused(body, form):
    try:
        found = readings_of(body, form)
    except DecodeError:
        return
    for item in found:
        if isinstance(item, SentReading):
            assert isinstance(fault_of(item), str)
            item.tags_as_text()
            with contextlib.suppress(DecodeError):
                time_of(item.ts)
        else:
            assert item.reason
