"""`watchkeeper models`: trained from the final series, pinned, rolled back; and what is said where it cannot be."""

import msgspec
import pytest

from tests.unit.local.conftest import NOW
from watchkeeper.errors import ConfigError, ModelError
from watchkeeper.ports import Key
from watchkeeper.published import current_pin, model_versions
from watchkeeper.records import Review
from watchkeeper.stages.retrain import retrain
from watchkeeper.topology import REVIEWS
from watchkeeper_local.models import manage_models
from watchkeeper_local.node import open_node
from watchkeeper_local.training import retrain_now


def test_a_trained_model_is_in_force_and_the_next_one_replaces_it(filled, settings):
    assert "in force" in retrain_now(filled, settings.shards)
    first = current_pin(filled.blobs).version
    retrain_now(filled, settings.shards)
    pin = current_pin(filled.blobs)
    assert pin.previous == first != pin.version
    assert sorted(model_versions(filled.blobs)) == sorted([first, pin.version])


def test_a_pinned_model_stays_in_force_until_it_is_unpinned(filled, settings, capsys):
    retrain_now(filled, settings.shards)
    first = current_pin(filled.blobs).version
    assert manage_models(settings, "pin", first) == 0
    assert "in force, pinned" in capsys.readouterr().out
    assert "another one is pinned" in retrain_now(filled, settings.shards)
    assert current_pin(filled.blobs).version == first
    manage_models(settings, "unpin", "")
    retrain_now(filled, settings.shards)
    assert current_pin(filled.blobs).version != first


def test_a_rollback_puts_the_model_before_in_force(filled, settings):
    retrain_now(filled, settings.shards)
    first = current_pin(filled.blobs).version
    manage_models(settings, "train", "")
    manage_models(settings, "rollback", "")
    assert (current_pin(filled.blobs).version, current_pin(filled.blobs).pinned) == (first, True)


def test_what_cannot_be_done_with_models_is_said(settings, capsys):
    with pytest.raises(ConfigError, match="no Watchkeeper has kept data there"):
        manage_models(settings, "list", "")
    open_node(settings, durable=False)[0].close()
    with pytest.raises(ModelError, match="takes to learn from"):
        manage_models(settings, "train", "")
    with pytest.raises(ModelError, match="no model 'm-1'; stored are: none"):
        manage_models(settings, "pin", "m-1")
    with pytest.raises(ModelError, match="roll back"):
        manage_models(settings, "rollback", "")
    with pytest.raises(ConfigError, match="needs a version"):
        manage_models(settings, "pin", "")
    assert manage_models(settings, "list", "") == 0
    assert "no model is in force yet" in capsys.readouterr().out


def test_confirmed_anomalies_are_left_out_of_training(filled, settings):
    everything = retrain(filled, settings.shards, NOW).rows
    start, end = NOW - 100_000, NOW
    review = Review("e1", "default", "d1", start, end, "confirmed", "ada", NOW)
    filled.tables.put(REVIEWS.name, Key("default", "e1"), msgspec.json.encode(review))
    left = retrain(filled, settings.shards, NOW).rows
    assert left == everything - 100
