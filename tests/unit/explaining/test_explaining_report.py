"""The deterministic report: the right runbook, always something to cite, and the numbers that matter."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.unit.stages.driving import NOW, shipped
from watchkeeper.explaining.episodes import opened
from watchkeeper.explaining.report import look_up, report_of
from watchkeeper.ids import episode_id
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.records import Anomaly, MetricView, Severity

# What the detector said when it opened an episode on simulated pumps with these faults, three pumps each.
RECORDED = json.loads((Path(__file__).parent / "pump_anomalies.json").read_text("utf-8"))
RUNBOOKS = {
    "bearing_wear": "pump-bearing-wear.md",
    "blocked_filter": "blocked-filter.md",
    "cavitation": "pump-cavitation.md",
    "leak": "pump-pressure-loss.md",
    "power_dip": "power-dip.md",
    "sensor_stuck": "sensor-stuck.md",
}
ALL = [(fault, number) for fault in RUNBOOKS for number in range(3)]


def recorded(fault, number=0):
    return msgspec.convert(RECORDED[fault][number], Anomaly)


def anomaly(detector="model", **more):
    given = {
        "id": "a1", "episode": episode_id("default", "pump-1", detector, NOW), "tenant": "default", "site": "north",
        "device": "pump-1", "device_class": "pump", "detector": detector, "phase": "open", "ts": NOW,
        "severity": Severity.WARNING, "summary": "Something", "since": NOW, "confidence": 0.8765,
    }  # fmt: skip
    return Anomaly(**(given | more))


def explained(found, bundle=None):
    library = (bundle or shipped()).library
    return report_of(opened(found, NOW), found, look_up(found, library))


@pytest.mark.parametrize(("fault", "number"), ALL)
def test_each_fault_of_a_pump_is_explained_from_its_own_runbook(fault, number):
    found = look_up(recorded(fault, number), shipped().library)
    assert found.runbook.file == RUNBOOKS[fault]
    assert [p.heading for p in found.passages if p.file == RUNBOOKS[fault]] == ["Likely causes", "What to do"]


def rules_of(device_class):
    return list(shipped().rules.for_class(device_class))


@pytest.mark.parametrize("rule", [*rules_of("pump"), *rules_of("host")[1:]], ids=lambda rule: rule.id)
def test_the_report_of_every_rule_cites_the_runbook_that_the_rule_names(rule):
    detector = f"silence:{rule.id}" if rule.kind == "no_data" else f"rule:{rule.id}"
    views = {rule.metric: MetricView(1.0, contribution=1.0)} if rule.metric else {}
    device_class = "pump" if rule.applies_to == "*" else rule.applies_to
    report = explained(
        anomaly(detector, device_class=device_class, metrics=views, summary=rule.summary, runbook=rule.runbook)
    )
    runbook = shipped().library.runbook(rule.runbook)
    assert report.sources[0].file == rule.runbook
    assert report.causes == runbook.causes
    assert report.steps == runbook.steps
    assert report.category == runbook.category
    assert report.what.startswith(rule.summary)


def metrics_of(device_class):
    return sorted(next(c for c in shipped().catalogue.classes if c.name == device_class).metrics)


@pytest.mark.parametrize("value", [3.0, -3.0])
@pytest.mark.parametrize(("device_class", "metric"), [(c, m) for c in ("pump", "host") for m in metrics_of(c)])
def test_any_metric_that_strays_on_a_pump_or_host_is_explained_with_sources_that_fit_the_class(
    device_class, metric, value
):
    views = {metric: MetricView(value, 0.0, -1.0, 1.0, 9.0)}
    report = explained(anomaly(device_class=device_class, metric=metric, metrics=views))
    assert report.sources
    assert all(source.quote for source in report.sources)
    for source in report.sources:
        assert shipped().library.runbook(source.file).fits(device_class)
    assert report.causes
    assert report.steps


def test_a_device_nobody_knows_with_a_metric_nobody_knows_gets_the_general_triage():
    views = {"qqqq": MetricView(9.0, 0.0, -1.0, 1.0, 5.0)}
    found = look_up(anomaly(device_class="generic", metric="qqqq", metrics=views), shipped().library)
    assert found.runbook.file == "unknown-anomaly.md"
    assert found.passages


def test_a_rule_whose_runbook_is_gone_is_explained_all_the_same():
    views = {"vibration": MetricView(9.0, 2.0, 1.0, 3.0, 5.0)}
    found = look_up(
        anomaly("rule:pump.vibration-raised", metrics=views, runbook="gone.md", summary="Vibration high"),
        shipped().library,
    )
    assert found.runbook.file == "pump-bearing-wear.md"


def test_without_a_knowledge_base_the_report_says_what_happened_and_no_more():
    report = explained(recorded("leak"), Bundle.from_files({}))
    assert report.sources == report.causes == report.steps == ()
    assert "pump-01" in report.what
    assert report.category == "operations"


def test_the_report_of_a_model_anomaly_names_device_place_and_the_metrics_that_stand_out():
    views = {"flow": MetricView(90.0, 120.0, 117.0, 123.0, 6.0), "vibration": MetricView(2.0, 2.0, 1.5, 2.5, 2.0)}
    report = explained(anomaly(metrics=views, summary="flow is 90, below the expected 117 to 123"))
    assert (
        report.what
        == "flow is 90, below the expected 117 to 123 on pump-1 (north); it stands out by flow 75%, vibration 25%."
    )
    assert (report.confidence, report.written_by, report.severity) == (0.876, "rules", Severity.WARNING)


def test_the_report_of_a_rule_says_the_rule_and_the_value():
    views = {"flow": MetricView(61.239, contribution=1.0)}
    found = anomaly("rule:pump.flow-low", site="", summary="Flow is low", metrics=views, threshold="below 80 for 30 s")
    assert explained(found).what == "Flow is low on pump-1; the rule: below 80 for 30 s; flow was 61.24."


@pytest.mark.parametrize("fault", RUNBOOKS)
def test_the_same_anomaly_and_knowledge_give_the_same_report(fault):
    assert explained(recorded(fault)) == explained(recorded(fault), Bundle.decode(shipped().encode()))
