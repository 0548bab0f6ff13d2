"""Ids must never change between releases: what is stored is found by them. The golden numbers are written down here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.ids import content_hashes, device_hash, episode_id, mix, reading_ids, shard_of, text_id, timed_id

U64 = (1 << 64) - 1
GOLDEN_HASHES = [
    5276286170477207121,
    9639702423159293241,
    18351649695297388954,
    10734006239897485896,
]
GOLDEN_READINGS = [
    10066903929763198181,
    13481428330996129823,
    3277684291263805560,
    10673035174716943486,
]
GOLDEN_CONTENTS = [
    858352285429961305,
    4128412397697134829,
    1021045524441418469,
]
DEVICES = [("default", "pump-1"), ("default", "pump-2"), ("acme", "pump-1"), ("", "")]


def mixed(x):
    """SplitMix64's finaliser, one number at a time."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & U64
    return x ^ (x >> 31)


def test_golden_device_hashes_and_shards():
    assert [device_hash(*who) for who in DEVICES] == GOLDEN_HASHES
    assert [shard_of(*who, 64) for who in DEVICES] == [h % 64 for h in GOLDEN_HASHES]


def test_golden_reading_ids():
    hashes = np.array([device_hash(*who) for who in DEVICES], np.uint64)
    ts = np.array([1_772_352_000_000, 0, -1, 2**62], np.int64)
    salt = np.array([0, 1, 2**63, 7], np.uint64)
    assert reading_ids(hashes, ts, salt).tolist() == GOLDEN_READINGS


def test_golden_content_hashes():
    values = np.array([[1.0, np.nan, -0.0], [2.5, 7.0, np.nan]])
    assert content_hashes(("flow", "vibration"), values).tolist() == GOLDEN_CONTENTS


def test_golden_text_ids():
    assert text_id("ingest", "device-telemetry", 3, 17, 0) == "b49b4b74323cfb60"
    assert timed_id(1_772_352_000_000, "a", 1) == "1772352000000-cd85a665880b4301"
    assert (
        episode_id("default", "pump-1", "rule:pump.bearing-hot", 1_772_352_000_000) == "1772352000000-970dbdd2d2107f61"
    )


@given(st.lists(st.tuples(*[st.integers(0, U64)] * 3), max_size=20))
def test_a_column_of_ids_equals_them_one_by_one(rows):
    hashes, ts, salt = (
        (np.array(column, np.uint64) for column in zip(*rows, strict=True)) if rows else [np.empty(0, np.uint64)] * 3
    )
    assert mix(hashes).tolist() == [mixed(x) for x in hashes.tolist()]
    assert reading_ids(hashes, ts.view(np.int64), salt).tolist() == [mixed(h ^ mixed(t) ^ mixed(s)) for h, t, s in rows]


@given(st.permutations(["flow", "vibration", "current"]), st.lists(st.floats(allow_nan=True), min_size=3, max_size=3))
def test_a_content_hash_knows_no_order_of_metrics(order, values):
    of = dict(zip(["flow", "vibration", "current"], values, strict=True))
    one = content_hashes(("flow", "vibration", "current"), np.array([[v] for v in values]))
    other = content_hashes(tuple(order), np.array([[of[name]] for name in order]))
    assert one == other


def test_an_absent_value_leaves_no_trace_in_the_content():
    with_absent = content_hashes(("flow", "vibration"), np.array([[1.0], [np.nan]]))
    assert with_absent == content_hashes(("flow",), np.array([[1.0]]))
    assert with_absent != content_hashes(("vibration",), np.array([[1.0]]))


@pytest.mark.parametrize("parts", [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c")])
def test_parts_do_not_run_into_one_another(parts):
    others = {("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c")} - {parts}
    assert text_id(*parts) not in {text_id(*other) for other in others}


@given(st.integers(-(2**62), 10**13 - 1), st.integers(-(2**62), 10**13 - 1))
def test_timed_ids_sort_by_time(one, other):
    if max(one, 0) < max(other, 0):
        assert timed_id(one, "x") < timed_id(other, "a")
