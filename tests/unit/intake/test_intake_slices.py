"""Streams in slices: the same ones however the bytes arrive, and in all of them together every record once."""

import contextlib
import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.errors import DecodeError
from watchkeeper.intake import slices
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.objects import kind_of
from watchkeeper.intake.sent import Bad
from watchkeeper.intake.slices import Slices

TS = 1_709_294_400_000


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 400)
    monkeypatch.setattr(slices, "RECORD_BYTES", 300)


def cut(body, form, *, packed=False, steps=(7,)):
    slicing, found, at, turn = Slices(form, packed=packed), [], 0, 0
    while at < len(body):
        step = steps[turn % len(steps)]
        found += slicing.feed(body[at : at + step])
        at, turn = at + step, turn + 1
    return [*found, *slicing.end()]


def read(pieces, device="d"):
    return [reading for piece in pieces for reading in readings_of(piece.body, piece.form, device)]


NOTES = st.text(st.sampled_from('ab é☃"\n,;\r𝄞'), max_size=12)


@settings(deadline=None, max_examples=120)
@given(
    st.lists(NOTES, min_size=1, max_size=60),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
    st.lists(st.integers(1, 500), min_size=1, max_size=4),
)
def test_slices_do_not_depend_on_how_the_bytes_arrive_and_hold_every_row_once(notes, encoding, packed, steps):
    rows = [f'{TS + i},{i},"{note.replace(chr(34), chr(34) * 2)}"' for i, note in enumerate(notes)]
    body = "\n".join(["ts,v,tag.n", *rows]).encode(encoding)
    body = gzip.compress(body) if packed else body
    pieces = cut(body, "csv", packed=packed, steps=steps)
    assert pieces == cut(body, "csv", packed=packed, steps=[len(body)])
    readings = read(pieces)
    assert [r.values for r in readings] == [{"v": float(i)} for i in range(len(notes))]
    assert [r.tags.get("n", "") for r in readings] == [note.strip() for note in notes]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.lists(st.integers(1, 500), min_size=1, max_size=4))
def test_lines_are_cut_where_they_end(sizes, steps):
    lines = [b'{"device":"%s","values":{"v":%d}}' % (b"x" * (size + 1), size) for size in sizes]
    pieces = cut(b"\n".join(lines), "ndjson", steps=steps)
    assert [r.values["v"] for r in read(pieces)] == sizes


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=1_500), st.sampled_from(["csv", "ndjson", "json", "msgpack"]), st.booleans())
def test_whatever_comes_is_cut_or_refused(body, form, packed):
    with contextlib.suppress(DecodeError):
        read(cut(body, form, packed=packed, steps=[64]))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(['1,"', '"', "2,x", '3,"a""b"', '4,"a\nb"', "\udcff", '5,"x"y']), max_size=40))
def test_a_row_with_a_quote_that_is_not_closed_costs_only_those_it_touches(parts):
    good = [f"{TS + i},{i}" for i in range(30)]
    text = "\n".join(["v,tag.n", *parts, *(f"{i},ok" for i in range(30))])
    readings = read(cut(text.encode(errors="surrogateescape"), "csv"))
    taken = [r.values["v"] for r in readings if not isinstance(r, Bad) and r.tags.get("n") == "ok"]
    assert taken[-25:] == list(range(5, 30))
    assert len(good) == 30


def test_a_line_that_does_not_end_is_refused_and_not_held():
    slicing = Slices("ndjson")
    with pytest.raises(DecodeError, match="no line ends"):
        list(slicing.feed(b"x" * 10_000))


def test_what_cannot_be_cut_may_not_be_long(monkeypatch):
    monkeypatch.setattr(slices, "WHOLE_BYTES", 100)
    assert [piece.form for piece in cut(b"[]", "json")] == ["json"]
    with pytest.raises(DecodeError, match="NDJSON"):
        cut(b" " * 101, "json")


def test_gzip_that_is_cut_off_is_refused_after_what_came_before_it():
    body = gzip.compress(b"\n".join(b'{"device":"a","values":{"v":%d}}' % i for i in range(100)))
    slicing = Slices("ndjson", packed=True)
    assert list(slicing.feed(body[:-4]))
    with pytest.raises(DecodeError, match="too early"):
        list(slicing.end())


@pytest.mark.parametrize(
    ("key", "form", "packed", "device"),
    [
        ("in/hall 3/pump-07.csv", "csv", False, "pump-07"),
        ("Pump 7 (new).CSV.gz", "csv", True, "Pump-7-new-"),
        ("a.tsv", "csv", False, "a"),
        ("a.2024.ndjson", "ndjson", False, "a.2024"),
        ("a.jsonl.gz", "ndjson", True, "a"),
        ("a.json", "json", False, "a"),
        ("a.msgpack", "msgpack", False, "a"),
        ("_.csv", "csv", False, ""),
    ],
)
def test_a_name_says_what_is_in_a_file_and_whose_it_is(key, form, packed, device):
    assert kind_of(key) == (form, packed, device)


@pytest.mark.parametrize("key", ["a.txt", "a", ".csv", "a.gz", "a.csv.zip", ""])
def test_a_name_may_say_nothing(key):
    assert kind_of(key) is None
