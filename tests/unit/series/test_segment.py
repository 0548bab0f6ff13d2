import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.errors import StateError
from watchkeeper.series import section as section_module
from watchkeeper.series.section import Effort, Section
from watchkeeper.series.segment import Segment, SegmentRef, write

EFFORTS = st.sampled_from(Effort)
TAGS = [{"line": "1"}, {"line": "2"}, {"line": "3"}]
RULES = [("hot",), ("hot", "dry")]


def a_section(counts, seed=0, metrics=("a", "b"), prefix="pump"):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    values = np.round(rng.normal(0, 10, (len(metrics), n)), 2)
    values[rng.random(values.shape) < 0.2] = np.nan
    ts = rng.integers(0, 10**12, n)
    return Section(
        metrics,
        [("acme", f"{prefix}-{place}") for place in range(len(counts))],
        np.array(counts),
        ts,
        ts + rng.integers(0, 500, n),
        rng.integers(0, 3, n),
        rng.integers(-1, 3, n),
        rng.integers(-1, 2, n),
        np.where(rng.random(n) < 0.5, rng.random(n), np.nan),
        values,
    )


def same(one, other):
    assert one.metrics == other.metrics
    assert one.devices == other.devices
    for name in ("counts", "ts", "received", "flags", "score", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 10**6), EFFORTS)
def test_a_segment_gives_back_what_it_was_made_of(counts, seed, effort):
    sections = [a_section(counts, seed), a_section(counts, seed + 1, ("c",), "host")]
    segment = Segment(write(sections, TAGS, RULES, level=0, sequence=1, effort=effort).data)
    for one, other in zip(segment.sections(), sections, strict=True):
        same(one, other)
        named = [segment.tagsets[tag] if tag >= 0 else None for tag in one.tags]
        assert named == [TAGS[tag] if tag >= 0 else None for tag in other.tags]
        firing = [segment.rulesets[rule] if rule >= 0 else None for rule in one.rules]
        assert firing == [RULES[rule] if rule >= 0 else None for rule in other.rules]


@pytest.mark.parametrize("effort", Effort)
def test_one_device_is_read_from_among_others(effort):
    whole = a_section([3, 5, 2])
    part = Segment(write([whole], TAGS, RULES, level=0, sequence=1, effort=effort).data).find(("acme", "pump-1"))
    same(part.section(), whole.part(1, 2, 3, 8))
    np.testing.assert_array_equal(part.value("b"), whole.values[1, 3:8])


def test_a_packed_segment_unpacks_only_the_columns_asked_for(monkeypatch):
    unpacked = []
    original = section_module.unpack_floats
    monkeypatch.setattr(section_module, "unpack_floats", lambda *a: unpacked.append(a) or original(*a))
    segment = Segment(write([a_section([50])], TAGS, RULES, level=2, sequence=1, effort=Effort.DEFLATE).data)
    segment.find(("acme", "pump-0")).value("a")
    assert len(unpacked) == 1


def test_a_device_that_is_not_in_it_is_not_found():
    assert Segment(write([a_section([3])], TAGS, RULES, level=0, sequence=1).data).find(("other", "pump-0")) is None


def test_only_tags_and_rules_that_occur_are_written():
    some = a_section([4])
    some.tags[:] = [1, 1, -1, 1]
    some.rules[:] = -1
    segment = Segment(write([some], TAGS, RULES, level=0, sequence=1).data)
    assert (segment.tagsets, segment.rulesets) == ([TAGS[1]], [])


def test_the_same_content_has_the_same_name_and_other_content_another():
    once, twice = (write([a_section([3])], TAGS, RULES, level=0, sequence=7) for _ in range(2))
    other = write([a_section([3], seed=9)], TAGS, RULES, level=0, sequence=7)
    assert once == twice
    assert once.ref.key(5).startswith("segments/00005/0/0000000007-")
    assert once.ref.key(5) != other.ref.key(5)


def test_a_page_carries_the_range_and_the_rows_of_what_it_names():
    refs = [SegmentRef(100, 1, "aa", 10, 5, 9), SegmentRef(100, 2, "bb", 20, 1, 6)]
    page = write([], [], [], level=101, sequence=3, before=refs)
    assert (page.ref.rows, page.ref.first, page.ref.last) == (30, 1, 9)
    assert Segment(page.data).before == refs


@given(st.binary(max_size=300))
def test_garbage_is_a_state_error(data):
    with pytest.raises(StateError, match="not a segment"):
        Segment(data, "segments/00001/0/x")


@given(EFFORTS, st.data())
def test_damage_anywhere_is_a_state_error(effort, data):
    good = write([a_section([6, 4])], TAGS, RULES, level=0, sequence=1, effort=effort).data
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(bad), good[:place], good + b"!"):
        with pytest.raises(StateError):
            list(Segment(damaged).sections())
