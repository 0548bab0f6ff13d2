"""clean: each reading once, late and old ones marked, and impossible values left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stages.driving import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    Drive,
    changed,
    joined,
    pack_of,
    readings_of,
    values_of,
)
from watchkeeper.cleaning.state import RING
from watchkeeper.records import Flag, Severity
from watchkeeper.topology import BATCH_DATA_INGESTION, DATA_PROCESSING_OUTPUT, RAG_ERROR_REPORTING


def flow(*rows, device="pump-1", **more):
    return pack_of(device, "flow", [(NOW + t, v) for t, v in rows], **more)


def out(drive):
    return [(ts - NOW, values["flow"]) for _, ts, values in values_of(drive.came(DATA_PROCESSING_OUTPUT))]


def flags(drive):
    return [Flag(reading.flags) for reading in readings_of(drive.came(DATA_PROCESSING_OUTPUT))]


def test_a_reading_comes_through_with_all_it_has():
    drive = Drive("clean")
    drive.take(pack_of("pump-1", "flow vibration", [(NOW, 120.5, None)], site="north"))
    [reading] = readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    assert (reading.device, reading.site, reading.ts, reading.received) == ("pump-1", "north", NOW, NOW)
    assert (reading.values, reading.flags) == ({"flow": 120.5, "vibration": None}, 0)


@pytest.mark.parametrize("how", ["one pack", "one batch", "two batches", "after a restart"])
def test_a_reading_that_is_sent_again_is_taken_once(how):
    drive = Drive("clean")
    if how == "one pack":
        counts = drive.take(flow((0, 1), (1, 2), (0, 1), (1, 2)))
    else:
        drive.put(flow((0, 1), (1, 2)))
        if how != "one batch":
            drive.take()
        if how == "after a restart":
            drive.restart()
        counts = drive.take(flow((0, 1), (1, 2)))
    assert counts["deduplicated"] == 2
    assert out(drive) == [(0, 1), (1, 2)]


def test_each_way_in_remembers_for_itself_so_a_client_that_tries_again_uses_the_same():
    ports = Drive("clean").ports
    drives = [Drive("clean", ports), Drive("clean", ports, topic=BATCH_DATA_INGESTION)]
    assert [drive.take(flow((0, 1)))["deduplicated"] for drive in drives] == [0, 0]


def test_readings_of_two_devices_at_one_time_are_two():
    drive = Drive("clean")
    drive.take(joined(flow((0, 1)), flow((0, 1), device="pump-2"), flow((0, 1), tenant="other")))
    assert len(out(drive)) == 3


def test_other_content_at_the_same_time_is_a_correction_and_kept_as_such():
    drive = Drive("clean")
    counts = drive.take(flow((0, 1)), flow((0, 2)))
    assert (counts["deduplicated"], counts["corrections"]) == (0, 1)
    [first, second] = readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    assert (first.values["flow"], first.flags) == (1, 0)
    assert (second.values["flow"], second.flags) == (2, Flag.CORRECTION)


def test_what_was_corrected_and_is_sent_again_does_not_take_the_correction_back():
    drive = Drive("clean")
    counts = drive.take(flow((0, 1)), flow((0, 2)), flow((0, 1)), flow((0, 2)))
    assert counts["deduplicated"] == 2
    assert out(drive) == [(0, 1), (0, 2)]


def test_the_order_of_the_metrics_makes_no_other_content():
    drive = Drive("clean")
    counts = drive.take(
        pack_of("pump-1", "flow vibration", [(NOW, 1, 2)]),
        pack_of("pump-1", "vibration flow", [(NOW, 2, 1)]),
    )
    assert counts["deduplicated"] == 1


def test_readings_without_a_time_of_their_own_that_a_client_sends_again_are_taken_once():
    """The second try arrives later: its time is another, its request is not."""
    drive = Drive("clean")
    first = flow((0, 1), (0, 1), salt=[11, 13])
    retry = flow((9_000, 1), (9_000, 1), salt=[11, 13])
    drive.take(first)
    assert drive.take(retry)["deduplicated"] == 2
    assert drive.take(flow((9_000, 1), salt=[17]))["deduplicated"] == 0
    assert out(drive) == [(0, 1), (0, 1), (9_000, 1)]


def test_a_reading_older_than_its_device_by_more_than_the_tolerance_is_late_and_kept():
    drive = Drive("clean")
    drive.take(flow((0, 1), (-MINUTE, 2), (-MINUTE - 1, 3), received=NOW))
    drive.take(flow((-2 * MINUTE, 4), received=NOW), flow((-2 * MINUTE, 5), received=NOW, device="pump-2"))
    assert flags(drive) == [0, 0, Flag.LATE, Flag.LATE, 0]


def test_metrics_that_travel_apart_do_not_make_one_another_late():
    """Ten minutes of two metrics in one pack: the second table is not late because the first was looked at first."""
    drive = Drive("clean")
    times = [NOW + n * 10 * SECOND for n in range(60)]
    parts = [pack_of("pump-1", metric, [(ts, 1.0) for ts in times]) for metric in ("flow", "vibration")]
    drive.take(joined(*parts))
    drive.take(joined(*[pack_of("pump-1", m, [(times[0] - MINUTE, 1.0)]) for m in ("flow", "vibration")]))
    got = flags(drive)
    assert len(got) == 122
    assert [bool(flag & Flag.LATE) for flag in got] == [False] * 120 + [True] * 2


def test_what_was_received_long_after_it_happened_is_a_backfill():
    drive = Drive("clean")
    old = [(NOW - n * MINUTE, 1.0) for n in (60, 11, 10, 0)]
    drive.take(pack_of("pump-1", "flow", old, received=NOW))
    assert flags(drive) == [Flag.BACKFILL, Flag.BACKFILL, 0, 0]


def test_a_reading_from_the_future_is_quarantined_and_moves_nobodys_clock():
    drive = Drive("clean")
    counts = drive.take(flow((5 * MINUTE, 1), (5 * MINUTE + 1, 2), (DAY, 3), (0, 4), received=NOW))
    assert out(drive) == [(5 * MINUTE, 1), (0, 4)]
    assert counts["dead"] == 2
    letters = drive.dead()
    assert {letter.device for letter in letters} == {"pump-1"}
    assert "1440 minutes after it was received" in letters[1].reason
    assert b'"flow":3' in letters[1].body
    drive.take(flow((6 * MINUTE, 5)))
    assert flags(drive) == [0]  # a day in the future would have made it late


@pytest.mark.parametrize("value", [-999, -0.1, 300.1, -1e300])
def test_a_value_out_of_its_range_or_a_sentinel_is_left_out_and_the_rest_of_the_reading_stays(value):
    drive = Drive("clean")
    drive.take(pack_of("pump-1", "flow motor_current other", [(NOW, value, 42, -999)]))
    [reading] = readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    assert reading.values == {"flow": None, "motor_current": 42, "other": -999}
    assert reading.flags == Flag.INVALID


def test_ranges_are_those_of_the_devices_class():
    drive = Drive("clean")
    pumps = pack_of("pump-1", "cpu_percent flow", [(NOW, 500, 0), (NOW + 1, 500, 300)])
    hosts = pack_of("host-1", "cpu_percent flow", [(NOW, 500, 900), (NOW + 1, 99, 900)])
    drive.take(joined(pumps, hosts, pack_of("kettle", "cpu_percent flow", [(NOW, 500, 900)])))
    values = [
        (r.device, r.values["cpu_percent"], r.values["flow"]) for r in readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    ]
    assert values == [
        ("pump-1", 500, 0), ("pump-1", 500, 300), ("host-1", None, 900), ("host-1", 99, 900), ("kettle", 500, 900),
    ]  # fmt: skip


def bearing(*rows, device="pump-1", received=None):
    return pack_of(device, "bearing_temperature flow", [(NOW + t, v, v) for t, v in rows], received=received)


def temperatures(drive):
    return [
        (r.values["bearing_temperature"], r.values["flow"], Flag(r.flags) & (Flag.FILLED | Flag.INVALID))
        for r in readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    ]


def test_what_is_missing_or_invalid_is_filled_with_the_last_good_value_where_the_catalogue_says_so():
    drive = Drive("clean")
    drive.take(bearing((0, None), (1, 58), (2, None), (3, -999)))
    drive.restart()
    drive.take(bearing((4, None), (5, 60), (6, None)), bearing((7, None), device="pump-2"))
    filled, invalid = Flag.FILLED, Flag.FILLED | Flag.INVALID
    assert temperatures(drive) == [
        (None, None, 0), (58, 58, 0), (58, None, filled), (58, None, invalid),
        (58, None, filled), (60, 60, 0), (60, None, filled), (None, None, 0),
    ]  # fmt: skip


def test_a_late_reading_neither_fills_nor_is_filled():
    drive = Drive("clean")
    drive.take(bearing((0, 58), received=NOW))
    drive.take(bearing((-HOUR, 20), (-HOUR + 1, None), received=NOW), bearing((1, None)))
    assert temperatures(drive) == [(58, 58, 0), (20, 20, 0), (None, None, 0), (58, None, Flag.FILLED)]


def gaps(drive):
    return [(a.device, (a.ts - a.since) // MINUTE, a.backfill) for a in drive.came(RAG_ERROR_REPORTING)]


def test_a_hole_in_what_a_catalogued_device_sends_is_an_event_that_pages_nobody():
    drive = Drive("clean")
    drive.take(flow((0, 1), (5 * MINUTE, 2)), flow((10 * MINUTE + 1, 3)))
    [gap] = drive.came(RAG_ERROR_REPORTING)
    assert (gap.detector, gap.phase, gap.severity, gap.device_class) == ("gap", "event", Severity.INFO, "pump")
    assert (gap.since - NOW, gap.ts - NOW) == (5 * MINUTE, 10 * MINUTE + 1)
    assert gap.summary == "No readings for 5 minutes"
    assert gap.bundle == drive.published.bundle.version


def test_a_hole_that_several_sets_of_metrics_have_is_one_and_the_same():
    drive = Drive("clean")
    drive.take(joined(flow((0, 1)), pack_of("pump-1", "vibration", [(NOW, 1)])))
    later = NOW + HOUR
    drive.take(joined(pack_of("pump-1", "flow", [(later, 1)]), pack_of("pump-1", "vibration", [(later, 1)])))
    told = drive.came(RAG_ERROR_REPORTING)
    assert len(told) == 2
    assert {(gap.device, gap.id, gap.episode, gap.since) for gap in told} == {
        ("pump-1", told[0].id, told[0].episode, NOW)
    }


def test_how_long_a_hole_must_be_follows_the_devices_interval_and_nobody_knows_that_of_a_generic_one():
    drive = Drive("clean", bundle=changed(devices__meter="class: meter\nmatch: ['meter-*']\ninterval: 15m\n"))
    for device in ("kettle", "meter-1"):
        drive.take(flow((0, 1), (149 * MINUTE, 2), (300 * MINUTE, 3), device=device))
    assert gaps(drive) == [("meter-1", 151, False)]


def test_a_hole_in_the_past_is_marked_as_a_backfill_and_an_older_reading_makes_none():
    drive = Drive("clean")
    drive.take(flow((-9 * HOUR, 1), (-7 * HOUR, 2), (-8 * HOUR, 3), received=NOW))
    assert gaps(drive) == [("pump-1", 120, True)]


def test_nothing_is_emitted_for_a_message_whose_readings_are_all_repetitions():
    drive = Drive("clean")
    drive.take(flow((0, 1)))
    drive.came(DATA_PROCESSING_OUTPUT)
    drive.take(flow((0, 1)))
    assert drive.came(DATA_PROCESSING_OUTPUT) == []


sent = st.tuples(st.sampled_from(["pump-1", "pump-2", "kettle"]), st.integers(0, 5), st.integers(1, 3))


@settings(max_examples=150)
@given(
    packs=st.lists(st.tuples(st.lists(sent, min_size=1, max_size=6), st.booleans()), max_size=8),
    salted=st.booleans(),
)
def test_no_reading_is_emitted_twice_and_none_is_dropped_whatever_the_interleaving(packs, salted):
    """`salted`: readings without a time of their own, told apart by the place in their request."""
    drive = Drive("clean")
    counts = 0
    for content, restarts in packs:
        singles = [
            pack_of(d, "flow", [(NOW + (0 if salted else t), v)], salt=[2 * t + 1] if salted else [])
            for d, t, v in content
        ]
        counts += drive.take(joined(*singles))["deduplicated"]
        if restarts:
            drive.restart()
    came = readings_of(drive.came(DATA_PROCESSING_OUTPUT))
    everything = [reading for content, _ in packs for reading in content]
    assert counts == len(everything) - len(came)
    if salted:
        assert sorted((r.device, r.values["flow"]) for r in came) == sorted((d, v) for d, _, v in set(everything))
    else:
        assert sorted((r.device, r.ts - NOW, r.values["flow"]) for r in came) == sorted(set(everything))


def test_the_memory_holds_as_many_readings_as_it_says():
    drive = Drive("clean")
    count = RING + 100
    drive.take(flow(*[(n, 1) for n in range(count)]))
    again = flow(*[(n, 1) for n in range(count)])
    counts = drive.take(again)
    assert RING - 100 <= counts["deduplicated"] <= RING
    assert counts["deduplicated"] + np.sum([counts["clean"]]) == count
