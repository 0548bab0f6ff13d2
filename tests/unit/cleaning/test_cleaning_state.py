"""clean's memory as bytes: all of it comes back, and bytes that are no state are refused."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.golden_samples import FOLDER, TS
from watchkeeper.cleaning.state import CLEAN_CODEC, MOST_SETS, RING
from watchkeeper.errors import StateError


def state_of(readings, devices=3):
    state = CLEAN_CODEC.empty()
    found = state.devices.find([f"default\0pump-{n}" for n in range(devices)])
    held, rows = state.rows(("flow", "speed"), found)
    held.newest[rows] = 100 + found
    for first in range(0, readings, 1000):
        ids = np.arange(first, min(first + 1000, readings), dtype=np.uint64)
        state.remember(ids, ids + np.uint64(10**6))
    return state


@pytest.mark.parametrize("readings", [0, 1, RING - 1, RING, RING + 1, 3 * RING + 7])
def test_what_is_remembered_comes_back_and_goes_on_the_same(readings):
    state = state_of(readings)
    state.sets["flow", "speed"].trail("flow")[1, 4:] = 99, 58.5
    back = CLEAN_CODEC.decode(CLEAN_CODEC.encode(state))
    held = back.sets["flow", "speed"]
    assert held.newest.tolist() == [100, 101, 102]
    assert held.trail("flow")[1, 4:].tolist() == [99, 58.5]
    for each in (state, back):
        each.remember(np.array([2**60], np.uint64), np.array([5], np.uint64))
        ids, contents = each.seen()
        pairs = sorted(zip(ids.tolist(), contents.tolist(), strict=True))
        oldest = max(0, readings + 1 - RING)
        assert pairs == [(n, n + 10**6) for n in range(oldest, readings)] + [(2**60, 5)]
        each.rows(("flow", "speed"), each.devices.find(["default\0pump-9"]))
    assert CLEAN_CODEC.encode(back) == CLEAN_CODEC.encode(state)


def test_devices_keep_their_places_however_many_there_are():
    state = state_of(0, devices=0)
    names = [f"default\0pump-{n}" for n in range(100)]
    places = [int(state.devices.find([name])[0]) for name in names]
    assert places == list(range(100)) == state.devices.find(names).tolist()
    held, rows = state.rows(("flow",), np.array([70, 3, 70]))
    assert rows.tolist() == [1, 0, 1]
    assert held.owner.tolist() == [3, 70]
    assert state.rows(("flow",), np.array([3, 99]))[1].tolist() == [0, 2]


def test_a_device_that_sends_ever_other_metrics_is_remembered_by_so_many_sets_only():
    state = state_of(0)
    for number in range(MOST_SETS - 1):
        assert not state.crowded((f"m{number}",), np.array([1])).any()
        state.rows((f"m{number}",), np.array([1]))
    assert state.crowded(("other",), np.array([0, 1])).tolist() == [False, True]
    assert not state.crowded(("m0",), np.array([1])).any()


def test_a_state_is_small():
    assert len(CLEAN_CODEC.encode(state_of(2 * RING, devices=1000))) < 66_000 + 1000 * 180


def test_what_version_1_knew_of_a_device_is_found_when_it_comes():
    state = CLEAN_CODEC.decode((FOLDER / "state-clean-v1.bin").read_bytes())
    held, rows = state.rows(("flow",), state.devices.find(["acme\0pump-2", "acme\0pump-1"]))
    assert held.newest[rows].tolist() == [0, TS]
    assert held.trail("flow")[rows[1], 4:].tolist() == [TS, 1.5]
    assert not state.old


@given(junk=st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(junk):
    with pytest.raises(StateError):
        CLEAN_CODEC.decode(junk)


DAMAGED = [(0, 99), (1, ["a"]), (1, ["a", "a", "b"]), (2, b"1234567"), (3, {5: []}), (5, b"12345678"), (6, b""), (7, 3)]


@pytest.mark.parametrize(("place", "value"), DAMAGED, ids=range(8))
def test_a_state_that_does_not_fit_together_is_refused(place, value):
    wire = msgspec.msgpack.decode(CLEAN_CODEC.encode(state_of(5)), strict=False)
    wire[place] = value
    with pytest.raises(StateError, match="state of clean"):
        CLEAN_CODEC.decode(msgspec.msgpack.encode(wire))


@pytest.mark.parametrize(
    ("place", "value"), [(1, b"12345"), (1, b"\x09\0\0\0" * 3), (2, b""), (3, b"1"), (4, {"flow": b"1"})]
)
def test_a_set_of_metrics_that_does_not_fit_together_is_refused(place, value):
    wire = msgspec.msgpack.decode(CLEAN_CODEC.encode(state_of(5)))
    wire[4][0][place] = value
    with pytest.raises(StateError, match="state of clean"):
        CLEAN_CODEC.decode(msgspec.msgpack.encode(wire))
