"""The knowledge base that is shipped is valid, complete and quiet in normal operation."""

import math

import numpy as np
import pytest

from watchkeeper.expressions import Columns
from watchkeeper.knowledge.catalogue import Importance
from watchkeeper.knowledge.rules import Severity
from watchkeeper.knowledge.runbooks import Category

NOMINAL_PUMP = {
    "flow": 120,
    "suction_pressure": 1.6,
    "discharge_pressure": 6.2,
    "motor_current": 42,
    "motor_voltage": 400,
    "vibration": 2.0,
    "bearing_temperature": 58,
    "filter_dp": 0.25,
}


def test_every_rule_names_a_runbook_that_exists(shipped):
    assert shipped.rules.rules
    assert all(shipped.library.runbook(rule.runbook) for rule in shipped.rules.rules)


def test_every_rule_names_a_runbook_that_fits_its_class(shipped):
    for rule in shipped.rules.rules:
        runbook = shipped.library.runbook(rule.runbook)
        assert "*" in runbook.applies_to or rule.applies_to in runbook.applies_to, rule.id


def test_every_runbook_has_causes_steps_and_four_passages_to_cite(shipped):
    assert len(shipped.library.runbooks) >= 16
    for runbook in shipped.library.runbooks:
        assert len(runbook.causes) >= 3, runbook.file
        assert len(runbook.steps) >= 5, runbook.file
        assert len(runbook.passages) == 4, runbook.file


def test_every_category_has_a_runbook(shipped):
    assert {runbook.category for runbook in shipped.library.runbooks} == set(Category)


def test_a_runbook_is_short_enough_to_read_at_night(shipped_files):
    lengths = {file: len(text.split()) for file, text in shipped_files.items() if file.endswith(".md")}
    assert {file: length for file, length in lengths.items() if not 150 <= length <= 350} == {}


@pytest.mark.parametrize("part", [0.9, 1.0, 1.1])
def test_no_rule_fires_on_a_pump_within_ten_per_cent_of_nominal(shipped, part):
    metrics = {rule.metric for rule in shipped.rules.for_class("pump") if rule.metric}
    assert metrics == set(NOMINAL_PUMP) == set(shipped.catalogue.profile("pump-01").metrics)
    reading = Columns(1, {name: np.array([value * part]) for name, value in NOMINAL_PUMP.items()})
    for rule in shipped.rules.for_class("pump"):
        if rule.when and not rule.times:
            assert rule.when.truth(reading).no.all(), rule.id
        if rule.metric and rule.kind != "flatline":
            value = NOMINAL_PUMP[rule.metric] * part
            assert rule.clear_low <= value <= rule.clear_high, rule.id


def test_the_processor_rule_of_a_host_fires_above_90_after_ten_seconds(shipped):
    rule = shipped.rules.by_id("host.cpu-saturated")
    assert (rule.metric, rule.fire_high, rule.clear_high, rule.for_ms) == ("cpu_percent", 90, 75, 10_000)
    assert (rule.severity, rule.runbook) == (Severity.WARNING, "host-cpu-saturation.md")


def test_a_silent_device_of_any_class_is_noticed(shipped):
    for device in ("pump-01", "host-a", "motor-1", "hvac-1", "something-else"):
        kinds = {rule.kind for rule in shipped.rules.for_class(shipped.catalogue.profile(device).class_name)}
        assert "no_data" in kinds


@pytest.mark.parametrize(
    ("device", "class_name"),
    [("pump-01", "pump"), ("host-db", "host"), ("motor-3", "motor"), ("ahu-2", "hvac"), ("Pump-01", "generic")],
)
def test_a_device_is_of_the_class_whose_pattern_it_matches(shipped, device, class_name):
    assert shipped.catalogue.profile(device).class_name == class_name


def test_a_device_in_no_file_is_generic_and_has_no_ranges(shipped):
    profile = shipped.catalogue.profile("machine_temperature")
    assert (profile.class_name, profile.importance, dict(profile.metrics)) == ("generic", Importance.NORMAL, {})


def test_a_single_device_can_differ_from_its_class(shipped):
    profile = shipped.catalogue.profile("pump-07")
    assert (profile.site, profile.importance, profile.interval_ms) == ("north", Importance.CRITICAL, 1000)
    assert shipped.catalogue.profile("pump-08").site is None


def test_a_pump_metric_knows_its_range_unit_and_sentinel(shipped):
    spec = shipped.catalogue.profile("pump-01").metrics["discharge_pressure"]
    assert (spec.unit, spec.low, spec.high, spec.missing) == ("bar", 0, 25, (-999,))


def test_every_limit_that_a_rule_does_not_use_is_infinite(shipped):
    for rule in shipped.rules.rules:
        used = {"above": (False, True), "below": (True, False), "outside": (True, True), "flatline": (False, True)}
        levels = used.get(rule.kind, (False, False))
        assert (math.isfinite(rule.fire_low), math.isfinite(rule.fire_high)) == levels
        assert (math.isfinite(rule.clear_low), math.isfinite(rule.clear_high)) == levels
        assert (rule.no_data_ms > 0) == (rule.kind == "no_data")
