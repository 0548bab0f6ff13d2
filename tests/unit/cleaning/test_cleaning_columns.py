"""What stands in, what is stuck and what is counted: columns against plain loops, and however they are cut."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cleaning.filling import stand_in
from watchkeeper.cleaning.metric_set import TRAIL, WATCHED, MetricSet
from watchkeeper.cleaning.quality import Noted, by_metric, count
from watchkeeper.cleaning.sticking import TELL_MS, follow

SLOTS = 3
slot_of = st.integers(0, SLOTS - 1)
value_of = st.none() | st.integers(1, 3)
LIMIT, SILENCE = 10, 11


@st.composite
def columns(draw, step=12):
    """Readings of a few slots in order of time, and where the column is cut."""
    rows, now = [], [1000] * SLOTS
    for _ in range(draw(st.integers(0, 30))):
        slot = draw(slot_of)
        now[slot] += draw(st.integers(-2, step))
        rows.append((slot, now[slot], draw(value_of)))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    return rows, [0, *cuts, len(rows)]


def pieces(rows, cuts):
    for begin, end in itertools.pairwise(cuts):
        part = rows[begin:end]
        if part:
            yield (
                np.array([s for s, _, _ in part]),
                np.array([t for _, t, _ in part]),
                np.array([math.nan if v is None else v for _, _, v in part], float),
            )


def plain_filling(rows, *, linear):
    """One reading after the other."""
    points, result = {s: {"prior": None, "this": None, "last": None} for s in range(SLOTS)}, []
    for slot, ts, value in rows:
        of = points[slot]
        if value is not None:
            stretch = ts // LIMIT
            if of["last"] is None or stretch > of["last"][0] // LIMIT:
                of["prior"], of["this"] = of["this"], (ts, value)
            of["last"] = (ts, value)
            result.append(value)
            continue
        found = math.nan
        if of["last"] is not None and ts - of["last"][0] <= LIMIT:
            found = of["last"][1]
            base = of["last"][0] - of["prior"][0] if of["prior"] else 0
            if linear and of["prior"] and LIMIT <= base <= 3 * LIMIT:
                found += (found - of["prior"][1]) / base * (ts - of["last"][0])
        result.append(found)
    return result


@pytest.mark.parametrize("linear", [False, True])
@given(given_=columns())
def test_what_stands_in_is_what_a_plain_loop_says_however_the_column_is_cut(linear, given_):
    rows, cuts = given_
    trail, result = np.full((SLOTS, TRAIL), np.nan), []
    for slot, ts, column in pieces(rows, cuts):
        limit, follows = np.full(len(slot), LIMIT), np.full(len(slot), linear)
        result += stand_in(slot, ts, column, trail, limit, follows).tolist()
    np.testing.assert_allclose(result, plain_filling(rows, linear=linear), rtol=1e-12)


def plain_sticking(rows):
    memory, flags, edges, seen = [(None, 0, None, 0)] * SLOTS, [], [], [0] * SLOTS
    for row, (slot, ts, value) in enumerate(rows):
        held, since, opened, told = memory[slot]
        quiet = ts - seen[slot] > SILENCE
        if value is None:
            flags.append(False)
            continue
        if value != held:
            if opened is not None:
                edges.append((slot, row, "clear", opened))
            memory[slot] = (value, ts, None, 0)
        elif opened is None and quiet:
            memory[slot] = (value, ts, None, 0)
        elif opened is None and ts - since >= LIMIT:
            edges.append((slot, row, "open", ts))
            memory[slot] = (held, since, ts, 0)
        elif opened is not None and (ts - opened) // TELL_MS > told:
            edges.append((slot, row, "update", opened))
            memory[slot] = (held, since, opened, (ts - opened) // TELL_MS)
        seen[slot] = ts
        flags.append(memory[slot][2] is not None)
    return flags, sorted(edges)


@pytest.mark.parametrize("step", [12, TELL_MS])
@given(data=st.data())
def test_what_is_stuck_is_what_a_plain_loop_says_however_the_column_is_cut(step, data):
    rows, cuts = data.draw(columns(step))
    memory, flags, edges, done = np.full((SLOTS, WATCHED), np.nan), [], [], 0
    for slot, ts, column in pieces(rows, cuts):
        stuck, told = follow(slot, ts, column, memory, np.full(len(slot), LIMIT), np.full(len(slot), SILENCE))
        flags += stuck.tolist()
        edges += [(int(slot[edge.row]), edge.row + done, edge.phase, edge.since) for edge in told]
        done += len(slot)
    assert (flags, sorted(edges)) == plain_sticking(rows)


@given(
    rows=st.lists(st.tuples(slot_of, st.integers(0, 3), *[st.booleans()] * 4), max_size=30),
    cut=st.integers(0, 30),
)
def test_a_span_is_told_once_when_it_is_over_with_all_that_came_in_it(rows, cut):
    held = MetricSet.empty(("flow",))
    held.rows(np.arange(SLOTS), SLOTS)
    reached = [0] * SLOTS
    ordered, expected = [], {}
    for slot, span, *marks in rows:
        reached[slot] = max(reached[slot], span)
        ordered.append((slot, 1000 + reached[slot], *marks))
        late, valid, stuck, filled = marks
        good = valid and not (late or stuck or filled)
        before = expected.setdefault((slot, 1000 + reached[slot]), [0] * 6)
        expected[slot, 1000 + reached[slot]] = [
            a + b for a, b in zip(before, (1, late, valid, stuck, filled, good), strict=True)
        ]
    told = {}
    for part in (ordered[:cut], ordered[cut:]):
        if part:
            part.sort(key=lambda row: row[0])  # stable: a device's readings stay in their order
            marks = [np.array([row[place] for row in part]) for place in range(2, 6)]
            noted = Noted(marks[0], *(mark[None] for mark in marks[1:]))
            closed = count(held, np.array([r[0] for r in part]), np.array([r[1] for r in part]), noted)
            for row, start, counts in closed:
                assert told.setdefault((row, start), counts.tolist()) == counts.tolist()
    last = {(slot, span) for slot, span in expected if span == 1000 + reached[slot]}
    assert told == {place: counts for place, counts in expected.items() if place not in last}


def test_where_all_readings_are_good_counting_needs_no_marks():
    both = []
    for noted in (None, Noted(np.zeros(3, bool), np.ones((2, 3), bool), *[np.zeros((2, 3), bool)] * 2)):
        held = MetricSet.empty(("flow", "speed"))
        rows, _ = held.rows(np.array([0, 0, 1]), 2)
        count(held, rows, np.full(3, 1000), noted)
        both.append(held.counts.tolist())
    assert both[0] == both[1] == [[2, 0, 2, 2, 0, 0, 0, 0, 2, 2], [1, 0, 1, 1, 0, 0, 0, 0, 1, 1]]
    assert by_metric(("flow", "speed"), np.array(both[0][0]))["speed"].good == 2
