"""Drift on one machine: measured against what the model learnt from, told, and reason enough to learn a new model."""

import shutil

import msgspec
import pytest

from tests.unit.local.conftest import NOW, node, send, settings_for
from tests.unit.shadow.support import put_in_force
from watchkeeper.model_drift import REPORT, Precision, latest_drift, measure_drift, reference_key
from watchkeeper.model_in_force import Who, current_pin, model_history, pin_model, promote_model
from watchkeeper.ports import Key
from watchkeeper.records import Episode, Review, Severity
from watchkeeper.stages.retrain import retrain
from watchkeeper.topology import EPISODES, REVIEWS
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.models import manage_models
from watchkeeper_local.training import DRIFT_MS, JUDGE_MS, REST_MS, Plan, retrain_if_due, shadow_of

NEXT = NOW + 2 * 86_400_000
HOUR = 3_600_000


@pytest.fixture(scope="module")
def learnt_folder(filled_folder, tmp_path_factory):
    """The data folder with a model in force, to be copied."""
    folder = shutil.copytree(filled_folder, tmp_path_factory.mktemp("learnt") / "data")
    settings = settings_for(folder)
    with node(settings) as (ports, _):
        put_in_force(ports.blobs, retrain(ports, settings.shards, NOW))
    return folder


@pytest.fixture
def learnt(settings, learnt_folder):
    """A data folder of the test's own with a model in force; answers its ports."""
    shutil.copytree(learnt_folder, settings.data_dir)
    with node(settings) as (ports, _):
        yield ports


def two_days_later(settings, levels):
    with node(settings) as (ports, published):
        send(ports, published, settings, NEXT, levels)


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


@pytest.fixture
def turn(learnt, settings):
    """One turn of the process that learns, at a time."""
    plan, bundle = Plan(), read_bundle()
    return lambda now: retrain_if_due(shadow_of(learnt, bundle, settings, now), settings, plan)


def test_drift_makes_a_candidate_long_before_it_is_due_and_only_once_in_six_hours(learnt, settings, turn):
    two_days_later(settings, (14.0, 14.0, 14.0))
    first = current_pin(learnt.blobs).version
    assert turn(NEXT).startswith("3 of 3 series have drifted: model")
    second = current_pin(learnt.blobs).candidate
    assert current_pin(learnt.blobs).version == first != second
    assert model_history(learnt.blobs)[0].why.startswith("3 of 3 series have drifted: learnt from")
    promote_model(learnt.blobs, second, Who("ada", NEXT))
    learnt.blobs.put(reference_key(second), learnt.blobs.get_many([reference_key(first)])[reference_key(first)].data)
    assert turn(NEXT + DRIFT_MS) == ""
    assert latest_drift(learnt.blobs).much
    assert "have drifted" in turn(NEXT + REST_MS)


def test_while_a_candidate_is_awaited_no_other_is_learnt_and_drift_is_still_looked_at(learnt, settings, turn):
    two_days_later(settings, (14.0, 14.0, 14.0))
    turn(NEXT)
    second = current_pin(learnt.blobs).candidate
    assert turn(NEXT + REST_MS) == ""
    assert latest_drift(learnt.blobs).ts == NEXT + REST_MS
    assert current_pin(learnt.blobs).candidate == second


def test_without_drift_a_model_is_learnt_when_it_is_due(learnt, settings, turn):
    two_days_later(settings, (10.0, 10.0, 10.0))
    assert turn(NEXT) == ""
    assert turn(NEXT + 23 * HOUR) == ""
    assert current_pin(learnt.blobs).candidate == ""
    assert turn(NEXT + 24 * HOUR).startswith("model")
    assert current_pin(learnt.blobs).candidate


def test_a_candidate_is_promoted_once_data_came_for_long_enough(filled, settings):
    settings = msgspec.structs.replace(settings, shadow_hours=390 / 3600)
    plan, bundle = Plan(), read_bundle()

    def turn(now):
        return retrain_if_due(shadow_of(filled, bundle, settings, now), settings, plan)

    assert "is in shadow" in turn(NOW)
    version = current_pin(filled.blobs).candidate
    with node(settings) as (ports, published):
        send(ports, published, settings, NOW + 400_000, (10.0, 10.0, 10.0))
    assert turn(NOW + 300_000) == ""
    assert turn(NOW + 400_000) == ""  # it has just looked
    assert f"model {version} is promoted: not worse beside no model" in turn(NOW + 300_000 + JUDGE_MS)
    assert current_pin(filled.blobs).version == version


def test_a_pinned_model_is_measured_and_stays(learnt, settings, turn):
    two_days_later(settings, (14.0, 14.0, 14.0))
    pin_model(learnt.blobs, current_pin(learnt.blobs).version, Who("ada", NOW))
    assert turn(NEXT) == ""
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
    manage_models(settings, "list")
    assert "drift has not been looked at yet" in capsys.readouterr().out
    review(learnt, "a", NEXT, "confirmed")
    monkeypatch.setattr("watchkeeper_local.models.clock", lambda: NEXT)
    manage_models(settings, "drift")
    told = capsys.readouterr().out
    assert "1 of 3 series have drifted from what m-" in told
    assert "  a: 1 of 3, index" in told
    assert "the target is 0.4" in told
    assert "100% of 1 confirmed" in told
