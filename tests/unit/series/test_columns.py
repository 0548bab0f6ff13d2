import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from watchkeeper.series.columns import pack_floats, pack_ints, unpack_floats, unpack_ints

INTS = arrays(np.int64, st.integers(0, 80), elements=st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100))
DECIMALS = st.integers(-(10**6), 10**6).map(lambda n: n / 100)
FLOATS = arrays(np.float64, st.integers(0, 80), elements=st.floats() | DECIMALS | st.just(np.nan))


@given(INTS, st.booleans())
def test_integers_come_back_whatever_they_are(column, deflate):
    assert (unpack_ints(memoryview(pack_ints(column, deflate=deflate)), len(column)) == column).all()


@given(FLOATS, st.booleans())
def test_floats_come_back_to_the_bit(column, deflate):
    back = unpack_floats(memoryview(pack_floats(column, deflate=deflate)), len(column))
    assert (np.isnan(back) == np.isnan(column)).all()
    present = ~np.isnan(column)
    assert (back[present].view(np.int64) == column[present].view(np.int64)).all()


@given(arrays(np.float64, st.integers(2, 50), elements=DECIMALS))
def test_decimals_come_back_to_the_bit(column):
    assert (unpack_floats(memoryview(pack_floats(column, deflate=True)), len(column)) == column).all()


def test_a_regular_clock_takes_no_room():
    assert len(pack_ints(np.arange(86_400) * 1000 + 1_700_000_000_000, deflate=False)) < 30


def test_a_sensor_with_two_decimals_takes_two_bytes_a_value():
    values = np.round(np.random.default_rng(1).normal(50, 5, 10_000), 2)
    assert len(pack_floats(values, deflate=False)) < 20_100


@pytest.mark.parametrize("unpack", [unpack_ints, unpack_floats])
def test_a_block_of_another_length_or_kind_is_an_error(unpack):
    with pytest.raises(ValueError, match="where 3 belong"):
        unpack(memoryview(b"\0" + bytes(16)), 3)
    with pytest.raises(ValueError, match="kind 99"):
        unpack(memoryview(bytes([99])), 3)
