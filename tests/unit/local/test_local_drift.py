"""Drift on one machine: measured against what the model learnt from, told, and reason enough to learn a new model."""

import msgspec
import pytest

from tests.unit.local.conftest import NOW, send
from watchkeeper.model_drift import REPORT, Precision, latest_drift, measure_drift, reference_key
from watchkeeper.ports import Key
from watchkeeper.published import current_pin, pin_model, publish_model
from watchkeeper.records import Episode, Review, Severity
from watchkeeper.stages.retrain import retrain
from watchkeeper.topology import EPISODES, REVIEWS
from watchkeeper_local.models import manage_models
from watchkeeper_local.node import open_node
from watchkeeper_local.training import DRIFT_MS, REST_MS, Plan, retrain_if_due

NEXT = NOW + 2 * 86_400_000
HOUR = 3_600_000


@pytest.fixture
def learnt(filled, settings):
    """The data folder with a model in force."""
    publish_model(filled.blobs, retrain(filled, settings.shards, NOW))
    return filled


def two_days_later(settings, levels):
    ports, published = open_node(settings, durable=False)
    send(ports, published, settings, NEXT, levels)
    ports.close()


def review(ports, episode, start, verdict, detector="model"):
    held = Episode(
        id=episode, tenant="default", site="", device="d0", device_class="generic", detector=detector,
        opened_by="a", opened=start, last=start, severity=Severity.WARNING, summary="odd",
    )  # fmt: skip
    said = Review(episode, "default", "d0", start, start, verdict, "ada", start)
    ports.tables.put(EPISODES.name, Key("default", episode), msgspec.json.encode(held))
    ports.tables.put(REVIEWS.name, Key("default", episode), msgspec.json.encode(said))


def test_data_like_those_learnt_from_have_not_drifted(learnt, settings):
    two_days_later(settings, (10.0, 10.0, 10.0))
    report = measure_drift(learnt, settings.shards, NEXT)
    assert (report.series, report.drifted, report.much, report.loud) == (3, 0, False, False)
    assert report.device_weeks == pytest.approx(3 * 399_000 / (7 * 86_400_000))
    assert latest_drift(learnt.blobs) == report


def test_planted_drift_is_found_in_its_series_alone(learnt, settings):
    two_days_later(settings, (10.0, 14.0, 10.0))
    report = measure_drift(learnt, settings.shards, NEXT)
    assert (report.series, report.drifted, report.much) == (3, 1, True)
    (metric,) = report.metrics
    assert (metric.metric, metric.series, metric.drifted) == ("a", 3, 1)


def test_drift_makes_a_new_model_long_before_it_is_due_and_only_once_in_six_hours(learnt, settings):
    two_days_later(settings, (14.0, 14.0, 14.0))
    plan, first = Plan(), current_pin(learnt.blobs).version
    assert "3 of 3 series have drifted: model" in retrain_if_due(learnt, settings, plan, NEXT)
    second = current_pin(learnt.blobs).version
    assert second != first
    learnt.blobs.put(reference_key(second), learnt.blobs.get_many([reference_key(first)])[reference_key(first)].data)
    assert retrain_if_due(learnt, settings, plan, NEXT + DRIFT_MS) == ""
    assert latest_drift(learnt.blobs).much
    assert "have drifted" in retrain_if_due(learnt, settings, plan, NEXT + REST_MS)


def test_without_drift_a_model_is_learnt_when_it_is_due(learnt, settings):
    two_days_later(settings, (10.0, 10.0, 10.0))
    plan, first = Plan(), current_pin(learnt.blobs).version
    assert retrain_if_due(learnt, settings, plan, NEXT) == ""
    assert retrain_if_due(learnt, settings, plan, NEXT + 23 * HOUR) == ""
    assert current_pin(learnt.blobs).version == first
    assert retrain_if_due(learnt, settings, plan, NEXT + 24 * HOUR).startswith("model")


def test_a_pinned_model_is_measured_and_stays(learnt, settings):
    two_days_later(settings, (14.0, 14.0, 14.0))
    pin_model(learnt.blobs, current_pin(learnt.blobs).version)
    assert retrain_if_due(learnt, settings, Plan(), NEXT) == ""
    assert latest_drift(learnt.blobs).much


def test_precision_goes_by_week_over_what_the_model_found(learnt, settings):
    for name, days, verdict in (
        ("a", 1, "confirmed"),
        ("b", 1, "rejected"),
        ("c", 8, "confirmed"),
        ("d", 80, "rejected"),
    ):
        review(learnt, name, NOW - days * 86_400_000, verdict)
    review(learnt, "e", NOW - 86_400_000, "rejected", detector="rule:hot")
    weeks = measure_drift(learnt, settings.shards, NOW).precision
    assert weeks == (Precision("2026-09-07", 1, 0), Precision("2026-09-14", 1, 1))
    assert weeks[1].share == 0.5


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x91\x01"])
def test_a_damaged_reference_or_report_is_said_and_replaced(learnt, settings, caplog, damage):
    version = current_pin(learnt.blobs).version
    learnt.blobs.put(reference_key(version), damage)
    learnt.blobs.put(REPORT, damage)
    assert latest_drift(learnt.blobs) is None
    report = measure_drift(learnt, settings.shards, NOW)
    assert (report.series, report.much) == (0, False)
    assert latest_drift(learnt.blobs) == report
    assert f"models/{version}.reference cannot be read" in caplog.text


def test_models_tells_what_has_drifted(learnt, settings, capsys, monkeypatch):
    two_days_later(settings, (14.0, 10.0, 10.0))
    manage_models(settings, "list", "")
    assert "drift has not been looked at yet" in capsys.readouterr().out
    review(learnt, "a", NEXT, "confirmed")
    monkeypatch.setattr("watchkeeper_local.models.clock", lambda: NEXT)
    manage_models(settings, "drift", "")
    told = capsys.readouterr().out
    assert "1 of 3 series have drifted from what m-" in told
    assert "  a: 1 of 3, index" in told
    assert "the target is 0.4" in told
    assert "100% of 1 confirmed" in told
