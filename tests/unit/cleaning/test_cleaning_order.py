"""Where readings stand in their device's time, and what repeats: columns against plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cleaning.order import order_of
from watchkeeper.cleaning.repetition import repetition

small = st.integers(0, 3)


@given(
    rows=st.lists(st.tuples(small, st.integers(1, 20)), max_size=40),
    known=st.lists(st.integers(0, 15), min_size=4, max_size=4),
)
def test_the_newest_time_before_each_reading_is_that_of_its_device(rows, known):
    device = np.array([d for d, _ in rows], np.int64)
    ts = np.array([t for _, t in rows], np.int64)
    order = order_of(device, ts, np.array(known, np.int64))
    newest = list(known)
    for row, (d, t) in enumerate(rows):
        assert order.before[row] == newest[d]
        assert order.not_newer(ts)[row] == (t <= newest[d])
        assert order.late(ts, np.full(len(rows), 5))[row] == (t < newest[d] - 5)
        assert order.gaps(ts, np.full(len(rows), 5))[row] == (newest[d] > 0 and t - newest[d] > 5)
        newest[d] = max(newest[d], t)


@given(
    before=st.lists(st.tuples(small, small), max_size=8),
    rows=st.lists(st.tuples(small, small), max_size=20),
)
def test_repeated_is_what_has_come_before_with_the_same_content_and_a_correction_what_has_with_another(before, rows):
    def columns(pairs):
        return np.array([a for a, _ in pairs], np.uint64), np.array([b for _, b in pairs], np.uint64)

    found = repetition(*columns(rows), *columns(before))
    seen = list(before)
    for row, pair in enumerate(rows):
        assert found.repeated[row] == (pair in seen)
        assert found.corrects[row] == (pair not in seen and pair[0] in [name for name, _ in seen])
        seen.append(pair)
