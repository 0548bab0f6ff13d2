"""clean does what the catalogue says: units, stuck sensors, filling, clocks, quality, schema."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stages.driving import DAY, HOUR, MINUTE, NOW, SECOND, Drive, changed, pack_of, readings_of
from watchkeeper.cleaning.watching import LEARNING, STRETCH_MS
from watchkeeper.knowledge.units import Conversion
from watchkeeper.memory import memory_ports
from watchkeeper.merging import join
from watchkeeper.records import Flag, Severity
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, QUALITY, RAG_ERROR_REPORTING, SCHEMAS

CATALOGUE = """
class: boiler
match: ["boiler-*"]
interval: 10s
gap_after: 20m
clock: correct
sends: {temperature: degF, pressure: psi}
metrics:
  temperature: {unit: degC, range: [-20, 120], missing: [-999], stuck_after: 60s, fill: linear, fill_for: 30s}
  flow: {unit: m3/h, range: [0, 100], fill: last}
  pressure: {unit: bar, range: [0, 10], missing: [-999]}
  power: {unit: kW}
  efficiency: {range: [0, 50]}
derived:
  doubled: efficiency * 2
  efficiency: flow / power
devices:
  boiler-eu: {sends: {temperature: degC, pressure: bar, flow: l/s}, clock: trust}
"""
START = NOW - NOW % DAY


def drive(ports=None):
    return Drive("clean", ports, bundle=changed(devices__boiler=CATALOGUE))


def came(it):
    return readings_of(it.came(DATA_PROCESSING_OUTPUT))


def boiler(metrics, *rows, device="boiler-1", **more):
    return pack_of(device, metrics, [(START + t, *values) for t, *values in rows], **more)


def test_values_are_converted_to_the_unit_of_the_catalogue_before_they_are_held_against_the_range():
    it = drive()
    rows = [(0, 212.0, 14.5038), (1, 32.0, 150.0), (2, 98.6, -999.0), (3, 50.0, 9.0)]
    it.take(
        boiler("temperature pressure", *rows), boiler("temperature pressure flow", (0, 50, 9.0, 2), device="boiler-eu")
    )
    *american, european = came(it)
    assert [r.values["temperature"] for r in american] == pytest.approx([100, 0, 37, 10], abs=1e-9)
    assert [r.values["pressure"] for r in american] == [
        pytest.approx(1, rel=1e-5),
        None,
        None,
        pytest.approx(0.6205, rel=1e-4),
    ]
    assert [bool(r.flags & Flag.INVALID) for r in american] == [False, True, True, False]
    assert european.values == {"temperature": 50, "pressure": 9, "flow": pytest.approx(7.2)}


def test_a_value_that_does_not_change_is_that_of_a_stuck_sensor_until_it_changes():
    it = drive()
    it.take(boiler("temperature", *[(n * 10 * SECOND, 100.0) for n in range(10)]))
    it.take(boiler("temperature", (100 * SECOND, 101.0), (110 * SECOND, 101.0)))
    assert [bool(r.flags & Flag.STUCK) for r in came(it)] == [False] * 6 + [True] * 4 + [False] * 2
    opened, cleared = it.came(RAG_ERROR_REPORTING)
    assert (opened.detector, opened.phase, opened.severity) == ("stuck:temperature", "open", Severity.WARNING)
    assert (opened.ts - START, opened.runbook, opened.metric) == (60 * SECOND, "sensor-stuck.md", "temperature")
    assert opened.summary == "The value of temperature has not changed for 1m: is the sensor stuck?"
    assert (cleared.phase, cleared.episode, cleared.ts - START) == ("clear", opened.episode, 100 * SECOND)


def test_of_a_value_that_is_the_same_after_a_hole_nobody_can_say_that_it_has_not_changed():
    it = drive()
    it.take(boiler("temperature", (0, 100.0), (61 * SECOND, 100.0), (120 * SECOND, 100.0), (121 * SECOND, 100.0)))
    assert [bool(r.flags & Flag.STUCK) for r in came(it)] == [False, False, False, True]


def test_a_metric_of_which_nobody_has_said_when_it_is_stuck_never_is():
    it = drive()
    it.take(boiler("power", *[(n * HOUR, 5.0) for n in range(100)]))
    assert not any(r.flags & Flag.STUCK for r in came(it))


def test_what_is_missing_follows_the_trend_and_no_longer_than_it_may():
    it = drive()
    kelvin = [(n * 10 * SECOND, 32 + 1.8 * n, 1.0) for n in range(9)]
    missing = [(n * 10 * SECOND, None, 1.0) for n in range(9, 14)]
    it.take(boiler("temperature flow", *kelvin), boiler("temperature flow", *missing))
    found = came(it)[9:]
    assert [r.values["temperature"] for r in found] == [pytest.approx(t) for t in (9, 10, 11)] + [None, None]
    assert [bool(r.flags & Flag.FILLED) for r in found] == [True] * 3 + [False] * 2


def test_without_a_trend_the_last_value_stands_in_and_none_leaves_the_range():
    it = drive()
    it.take(boiler("temperature", (0, 32.0), (1000, None)))
    rising = [(MINUTE + n * 10 * SECOND, 240 + 1.1 * n) for n in range(8)]
    it.take(boiler("temperature", *rising, (MINUTE + 80 * SECOND, None)))
    found = [r.values["temperature"] for r in came(it)]
    assert found[1] == pytest.approx(0, abs=1e-9)
    assert found[-2] == pytest.approx(119.8, abs=0.1)
    assert found[-1] == 120


def test_a_metric_without_a_limit_is_filled_for_as_long_as_is_no_gap():
    it = drive()
    it.take(boiler("flow power", (0, 7.0, 1.0), (19 * MINUTE, None, 1.0), (20 * MINUTE + 1, None, 1.0)))
    assert [r.values["flow"] for r in came(it)] == [7.0, 7.0, None]


def test_how_long_a_gap_must_be_is_as_the_catalogue_says():
    it = drive()
    it.take(boiler("power", (0, 1.0), (20 * MINUTE, 1.0), (41 * MINUTE, 1.0)))
    [gap] = it.came(RAG_ERROR_REPORTING)
    assert (gap.ts - START, gap.threshold) == (41 * MINUTE, "20 minutes")


def test_derived_metrics_are_computed_where_all_that_they_need_is_there():
    it = drive()
    it.take(boiler("power flow", (0, 2.0, 30.0), (1, 0.0, 30.0), (2, 0.5, 30.0)))
    it.take(boiler("flow", (3, 8.0)), boiler("power flow", (3, 2.0, 30.0), device="kettle"))
    found = [(r.device, r.values.get("efficiency", "no"), r.values.get("doubled", "no")) for r in came(it)]
    assert found == [
        ("boiler-1", 15.0, 30.0), ("boiler-1", None, None), ("boiler-1", None, None),
        ("boiler-1", "no", "no"), ("kettle", "no", "no"),
    ]  # fmt: skip


def test_a_metric_that_the_device_sends_itself_is_not_computed():
    it = drive()
    it.take(boiler("power flow efficiency", (0, 2.0, 30.0, 7.0)))
    [reading] = came(it)
    assert (reading.values["efficiency"], reading.values["doubled"]) == (7.0, 14.0)


def skewed(it, offset, stretches, *, device="boiler-1", late=0, each=30):
    """Readings of a device whose clock is off, which take 40 ms, or now and then far longer."""
    first = it.now
    for n in range(stretches * each):
        received = first + n * STRETCH_MS // each
        delay = 40 if n % 3 else 40 + late
        it.take(pack_of(device, "power", [(received - delay + offset, 1.0)], received=received))
    it.now = first + stretches * STRETCH_MS
    return came(it)


@pytest.mark.parametrize("offset", [-3 * MINUTE, 3 * MINUTE, 2 * HOUR])
def test_a_clock_that_is_off_by_a_steady_amount_is_corrected_where_the_catalogue_says_so(offset):
    it = drive()
    it.now = START
    found = skewed(it, offset, 5, late=20 * SECOND, each=6)
    right = [r for r in found if r.flags & Flag.CLOCK_CORRECTED]
    assert right
    assert {r.received - r.ts for r in right} <= {0, 20 * SECOND}
    assert found[-1] in right
    before = [r for r in found if not r.flags & Flag.CLOCK_CORRECTED]
    assert all(r.ts - r.received > 2 * MINUTE or r.received - r.ts > 2 * MINUTE for r in before)


def test_a_clock_that_is_trusted_stays_as_it_is_and_one_that_is_right_too():
    it = drive()
    it.now = START
    assert not any(r.flags & Flag.CLOCK_CORRECTED for r in skewed(it, MINUTE, 5, device="boiler-eu", each=3))
    assert not any(r.flags & Flag.CLOCK_CORRECTED for r in skewed(it, 0, 5, each=3))


def test_a_device_that_sends_everything_late_now_and_then_has_no_wrong_clock():
    it = drive()
    for n in range(60):
        received = START + n * MINUTE
        it.take(pack_of("boiler-1", "power", [(received - (n * 37 % 240) * SECOND, 1.0)], received=received))
    assert not any(r.flags & Flag.CLOCK_CORRECTED for r in came(it))


def test_a_retry_of_a_reading_whose_time_is_corrected_by_now_is_a_repetition():
    it = drive()
    it.now = START
    skewed(it, 3 * MINUTE, 5, each=6)
    reading = pack_of("boiler-1", "power", [(it.now + 3 * MINUTE, 1.0)], received=it.now)
    assert it.take(reading)["deduplicated"] == 0
    it.restart()
    assert it.take(reading)["deduplicated"] == 1


def sent(it, metrics, stretches, *, device="boiler-1"):
    """A message of each of these sets of metrics in each stretch of wall time."""
    for _ in range(stretches):
        for names in metrics:
            it.take(pack_of(device, names, [(it.now, *([1.0] * len(names.split())))]))
        it.now += STRETCH_MS
    it.came(DATA_PROCESSING_OUTPUT)
    return [e for e in it.came(RAG_ERROR_REPORTING) if e.detector == "schema"]


def test_other_metrics_than_before_are_announced_and_versioned():
    it = drive()
    assert sent(it, ["flow power"], LEARNING + 2) == []
    [new] = sent(it, ["flow power speed"], 3)
    assert (new.phase, new.severity, new.device_class) == ("event", Severity.INFO, "boiler")
    assert new.summary == "It sends other metrics (schema version 2); new: speed"
    [gone] = sent(it, ["flow"], 20)
    assert gone.summary == "It sends other metrics (schema version 3); gone: power, speed"
    [record] = it.rows(SCHEMAS, "default")
    assert (record.version, record.metrics, record.gone) == (3, ("flow",), ("power", "speed"))
    assert record.source == it.topic.name
    [back] = sent(it, ["flow power"], 3)
    assert back.summary.endswith("new: power")


def test_a_device_that_sends_its_metrics_apart_or_by_turns_is_no_news():
    it = drive()
    assert sent(it, ["flow", "power", "flow power speed"], LEARNING + 20) == []
    for _ in range(10):
        assert sent(it, ["flow"], 8) + sent(it, ["power", "speed"], 1) == []


def test_a_metric_that_comes_rarely_is_missed_once_and_then_known_to_come_rarely():
    it = drive()
    told = [sent(it, ["flow"], 40) + sent(it, ["flow power"], 1) for _ in range(6)]
    assert sum(map(len, told[:3])) >= 2
    assert told[3:] == [[], [], []]


def test_of_each_hour_it_is_written_how_good_the_readings_of_each_metric_were():
    it = drive()
    rows = [(n * 10 * SECOND, 100.0 + n % 7, 1.0) for n in range(360) if not 100 <= n < 190]
    rows[5] = (rows[5][0], 999.0, None)
    it.take(boiler("temperature flow", *rows))
    assert it.rows(QUALITY, "default") == []
    it.take(boiler("temperature flow", (HOUR, 100.0, 1.0)))
    [hour] = it.rows(QUALITY, "default")
    assert (hour.device, hour.start, hour.span_ms, hour.source) == ("boiler-1", START, HOUR, it.topic.name)
    assert (hour.expected, hour.readings, hour.late) == (360.0, 270, 0)
    temperature, flow = hour.metrics["temperature"], hour.metrics["flow"]
    assert (temperature.valid, temperature.filled, temperature.stuck, temperature.good) == (269, 1, 0, 269)
    assert (flow.valid, flow.filled, flow.good) == (269, 1, 269)


def test_a_late_reading_counts_in_the_hour_in_which_it_came():
    it = drive()
    it.take(boiler("flow", (0, 1.0), (HOUR, 1.0), (MINUTE, 1.0), (2 * HOUR, 1.0)))
    first, second = it.rows(QUALITY, "default")
    assert (first.readings, first.late) == (1, 0)
    assert (second.readings, second.late, second.metrics["flow"].good) == (2, 1, 1)


def test_of_a_device_of_which_nobody_has_said_how_often_it_reports_nothing_is_expected():
    it = drive()
    it.take(boiler("flow", (0, 1.0), (HOUR, 1.0), device="kettle"))
    [hour] = it.rows(QUALITY, "default")
    assert (hour.expected, hour.readings) == (0.0, 1)


def test_a_device_that_reports_rarely_is_counted_by_the_day():
    it = Drive("clean", bundle=changed(devices__meter="class: meter\nmatch: ['meter-*']\ninterval: 15m\n"))
    it.take(boiler("flow", *[(n * 15 * MINUTE, 1.0) for n in range(97)], device="meter-1"))
    [day] = it.rows(QUALITY, "default")
    assert (day.span_ms, day.expected, day.readings) == (DAY, 96.0, 96)


messages = st.lists(
    st.tuples(
        st.sampled_from(["boiler-1", "boiler-eu", "kettle"]),
        st.sampled_from(["temperature", "flow power", "flow power temperature"]),
        st.sampled_from([-90 * SECOND, 0, SECOND, 10 * SECOND, 10 * SECOND, 31 * SECOND, 6 * MINUTE, HOUR]),
        st.sampled_from([None, 90.0, 90.0, 91.0, 999.0]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(messages=messages, cuts=st.lists(st.integers(1, 8), min_size=1, max_size=5))
def test_the_result_does_not_depend_on_how_the_stream_is_cut(messages, cuts):
    packs, clock, shown = [], START, dict.fromkeys(("boiler-1", "boiler-eu", "kettle"), START)
    for device, metrics, step, value in messages:
        clock += max(step, 1)
        shown[device] = max(shown[device] + step, START)
        ts = clock + 3 * MINUTE if device == "boiler-1" else shown[device]
        values = [value] * len(metrics.split())
        packs.append(pack_of(device, metrics, [(ts, *values)], received=clock))
    one_by_one, together = drive(), drive(memory_ports(partitions=1))
    for pack in packs:
        one_by_one.take(pack)
    place = 0
    while place < len(packs):
        size = cuts[place % len(cuts)]
        together.take(join(packs[place : place + size]))
        place += size
    assert results(together) == results(one_by_one)


def results(it):
    readings = sorted((r.device, r.ts, r.received, str(sorted(r.values.items(), key=str)), r.flags) for r in came(it))
    anomalies = sorted((a.id, a.phase, a.ts, a.summary, a.episode, a.since) for a in it.came(RAG_ERROR_REPORTING))
    letters = sorted(letter.body for letter in it.dead())
    return readings, anomalies, letters, it.rows(QUALITY, "default"), it.rows(SCHEMAS, "default")


def test_pint_is_imported_only_where_a_unit_is_to_be_converted():
    """It takes longer to import than everything else together."""
    code = (
        "import sys\n"
        "from tests.unit.stages.driving import Drive, NOW, changed, pack_of\n"
        "Drive('clean').take(pack_of('pump-1', 'flow vibration', [(NOW, 120.5, None)]))\n"
        "assert 'pint' not in sys.modules, 'imported without need'\n"
        f"changed(devices__boiler={CATALOGUE!r})\n"
        "assert 'pint' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_device_says_what_it_sends_in_place_of_its_class():
    bundle = changed(devices__boiler=CATALOGUE)
    assert set(bundle.catalogue.profile("boiler-7").conversions) == {"temperature", "pressure"}
    of_eu = bundle.catalogue.profile("boiler-eu").conversions
    assert of_eu["temperature"] == Conversion(1.0, 0.0)
    assert of_eu["flow"].scale == pytest.approx(3.6)
