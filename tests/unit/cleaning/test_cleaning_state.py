"""clean's memory as bytes: all of it comes back, and bytes that are no state are refused."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cleaning.state import CLEAN_CODEC, RING
from watchkeeper.errors import StateError


def state_of(readings, devices=3):
    state = CLEAN_CODEC.empty()
    for n in range(devices):
        slot = state.slot("default", f"pump-{n}", ("flow",))
        state.newest[slot] = 100 + n
    for first in range(0, readings, 1000):
        ids = np.arange(first, min(first + 1000, readings), dtype=np.uint64)
        state.remember(ids, ids + np.uint64(10**6))
    return state


@pytest.mark.parametrize("readings", [0, 1, RING - 1, RING, RING + 1, 3 * RING + 7])
def test_what_is_remembered_comes_back_and_goes_on_the_same(readings):
    state = state_of(readings)
    state.last_values = {"bearing_temperature": {0: 58.5, 2: -1.0}}
    back = CLEAN_CODEC.decode(CLEAN_CODEC.encode(state))
    assert back.slots == state.slots
    assert back.last_values == state.last_values
    assert back.newest[:3].tolist() == [100, 101, 102]
    for each in (state, back):
        each.remember(np.array([2**60], np.uint64), np.array([5], np.uint64))
        ids, contents = each.seen()
        pairs = sorted(zip(ids.tolist(), contents.tolist(), strict=True))
        oldest = max(0, readings + 1 - RING)
        assert pairs == [(n, n + 10**6) for n in range(oldest, readings)] + [(2**60, 5)]
    assert CLEAN_CODEC.encode(back) == CLEAN_CODEC.encode(state)


def test_devices_keep_their_places_however_many_there_are():
    state = state_of(0, devices=0)
    places = [state.slot("default", f"pump-{n}", ("flow",)) for n in range(100)]
    assert places == list(range(100))
    assert [state.slot("default", f"pump-{n}", ("flow",)) for n in range(100)] == places
    assert state.slot("other", "pump-0", ("flow",)) == 100
    assert len(state.newest) > 100


def test_a_state_is_small():
    assert len(CLEAN_CODEC.encode(state_of(2 * RING, devices=1000))) < 100_000


@given(junk=st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(junk):
    with pytest.raises(StateError):
        CLEAN_CODEC.decode(junk)


DAMAGED = [(0, 99), (1, ["a"]), (2, b"1234567"), (4, b"12345678"), (5, b""), (6, 3), (6, 10**6)]


@pytest.mark.parametrize(("place", "value"), DAMAGED, ids=range(7))
def test_a_state_that_does_not_fit_together_is_refused(place, value):
    wire = msgspec.msgpack.decode(CLEAN_CODEC.encode(state_of(5)))
    wire[place] = value
    with pytest.raises(StateError, match="state of clean"):
        CLEAN_CODEC.decode(msgspec.msgpack.encode(wire))
