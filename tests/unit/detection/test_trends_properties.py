"""Whatever a device sends, and whenever: its trends stay finite, are stored and read again, and break nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stages.driving import DAY, HOUR, MINUTE, NOW, Drive, changed, pack_of
from watchkeeper.checking.state import CHECK_CODEC
from watchkeeper.forecasting.outlook import best_scale, outlook
from watchkeeper.forecasting.trends import SERIES
from watchkeeper.states import read_envelope, state_key

RULE = """applies_to: pump
rules:
  - {id: pump.full, metric: flow, above: 90, clear: 85, severity: critical, summary: The tank is full,
     runbook: pump-pressure-loss.md}
"""
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-310, 1e15, -0.0])
VALUES = st.one_of(st.floats(-1e3, 1e3), ODD, st.none())
JUMPS = st.sampled_from([0, 1, MINUTE, 15 * MINUTE, 6 * HOUR, DAY, 400 * DAY, -1, -MINUTE, -DAY, -400 * DAY])
STREAM = st.lists(st.tuples(JUMPS, VALUES, st.booleans()), min_size=1, max_size=60)


def packs_of(stream):
    """A reading or more each; where the flag is set the metric is not among those that are sent."""
    at = NOW
    for jump, value, gone in stream:
        at += jump
        yield pack_of("pump-1", "pressure" if gone else "flow", [(at, np.nan if value is None else value)])


@given(STREAM)
@settings(max_examples=40, deadline=None)
def test_odd_values_jumps_of_the_clock_and_metrics_that_vanish_leave_trends_finite_and_readable(stream):
    drive = Drive("rule_check", bundle=changed(rules__pump=RULE))
    drive.take(*packs_of(stream))
    assert drive.dead() == []
    foresight = held(drive)
    records = foresight.trends.records[: foresight.trends.used]
    for name in SERIES.names:
        if name not in {"least", "most"}:  # of an open minute, infinite until it has a reading
            assert np.isfinite(records[name]).all(), name
    for number in foresight.series_of(0).values():
        record = records[number : number + 1]
        for horizon in (MINUTE, 30 * DAY):
            ahead = outlook(record, best_scale(record, horizon), horizon)
            assert all(np.isfinite(column).all() for column in ahead[1:])
            assert (ahead.low <= ahead.high).all()


@given(STREAM, st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_a_restart_anywhere_changes_nothing(stream, cut):
    whole, parts = (Drive("rule_check", bundle=changed(rules__pump=RULE)) for _ in range(2))
    packs = list(packs_of(stream))
    whole.take(*packs)
    parts.take(*packs[:cut])
    parts.restart()
    parts.take(*packs[cut:])
    assert held(whole) == held(parts)


def held(drive):
    """What the runner has stored of the trends."""
    key = state_key("rule_check", drive.topic.name, 0)
    blob = drive.ports.blobs.get_many([key])[key]
    return CHECK_CODEC.decode(read_envelope(blob.data, key)[1]).foresight
