"""Searching the runbooks: the right one first, the same answer every time, and never an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.runbooks import Library


@pytest.mark.parametrize(
    ("device_class", "query", "file"),
    [
        ("pump", "bearing temperature vibration rising", "pump-bearing-wear.md"),
        ("pump", "Suction pressure is low, noise like gravel", "pump-cavitation.md"),
        ("pump", "discharge_pressure low", "pump-pressure-loss.md"),
        ("pump", "filter_dp high, flow falling", "blocked-filter.md"),
        ("pump", "vibration flatline: constant value", "sensor-stuck.md"),
        ("pump", "Motor current is above the rating of the motor", "motor-overheating.md"),
        ("pump", "supply voltage dip", "power-dip.md"),
        ("motor", "phase currents unbalanced", "motor-phase-imbalance.md"),
        ("hvac", "supply_temperature too warm", "hvac-high-supply-temperature.md"),
        ("hvac", "air filter loaded with dust", "hvac-blocked-air-filter.md"),
        ("host", "cpu_percent saturated", "host-cpu-saturation.md"),
        ("host", "memory exhausted, swapping", "host-memory-pressure.md"),
        ("host", "disk is filling up", "host-disk-filling.md"),
        ("host", "outgoing traffic near the limit of the link", "host-network-saturation.md"),
        ("generic", "The device sends no data", "device-silent.md"),
        ("generic", "packet loss and latency", "network-loss-latency.md"),
        ("generic", "UPS runs on battery", "ups-on-battery.md"),
        ("generic", "implausible values after calibration", "sensor-drift.md"),
        ("generic", "budget exceeded, cutoff", "budget-cutoff.md"),
        ("generic", "pattern not seen before, no rule fires", "unknown-anomaly.md"),
    ],
)
def test_the_right_runbook_is_found_first(shipped, device_class, query, file):
    assert shipped.library.search(query, device_class=device_class)[0].passage.file == file


def test_a_runbook_for_another_class_is_not_given_while_one_fits(shipped):
    for hit in shipped.library.search("filter pressure flow", device_class="hvac", limit=50):
        assert shipped.library.runbook(hit.passage.file).fits("hvac")


def test_a_runbook_for_another_class_is_better_than_nothing(shipped):
    assert shipped.library.search("impeller", device_class="host")[0].passage.file.startswith("pump-")


def test_there_are_as_many_hits_as_asked_for_best_first(shipped):
    hits = shipped.library.search("pressure", device_class="pump", limit=5)
    assert len(hits) == 5
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(hit.score > 0 for hit in hits)


def test_a_hit_says_where_it_stands(shipped):
    hit = shipped.library.search("bearing fatigue lubrication", device_class="pump")[0]
    assert (hit.passage.file, hit.passage.heading, hit.title) == (
        "pump-bearing-wear.md",
        "Likely causes",
        "Pump bearing wear",
    )
    assert hit.passage.text.startswith("- Lubrication")


@pytest.mark.parametrize("query", ["", "   ", "xyzzy plugh", "the and of", "?!", "_"])
def test_a_query_without_a_known_word_finds_nothing(shipped, query):
    assert shipped.library.search(query, device_class="pump") == ()


def test_a_library_without_runbooks_finds_nothing():
    assert Library(()).search("bearing", device_class="pump") == ()


def test_a_file_that_is_not_there_is_no_runbook(shipped):
    assert shipped.library.runbook("nothing.md") is None


@given(query=st.text(), limit=st.integers(0, 5))
def test_no_query_fails(shipped, query, limit):
    assert len(shipped.library.search(query, device_class="pump", limit=limit)) <= limit


def test_the_answer_does_not_depend_on_the_order_of_the_files(shipped, shipped_files):
    backwards = Bundle.from_files(dict(reversed(shipped_files.items())))
    query = "flow pressure temperature"
    assert backwards.library.search(query, device_class="pump", limit=20) == shipped.library.search(
        query, device_class="pump", limit=20
    )
