"""`watchkeeper models`: learnt from the final series, judged, promoted, pinned, rolled back; what cannot be done."""

import msgspec
import pytest

from tests.unit.local.conftest import NOW, send
from watchkeeper.errors import ConfigError, ModelError
from watchkeeper.model_in_force import current_pin, model_history, model_versions
from watchkeeper.ports import Key
from watchkeeper.records import Review
from watchkeeper.stages.retrain import retrain
from watchkeeper.topology import REVIEWS
from watchkeeper_local.cli import main
from watchkeeper_local.models import manage_models
from watchkeeper_local.node import open_node
from watchkeeper_local.training import retrain_now


@pytest.fixture
def told(settings, capsys):
    """Runs `watchkeeper models …` on the data folder; answers what it prints."""

    def run(*words):
        assert main(["models", *words, "--data-dir", settings.data_dir, "--shards", "4", "--shadow-hours", "0"]) == 0
        return capsys.readouterr().out

    return run


def test_a_model_goes_from_training_by_shadow_into_force_on_the_command_line(filled, settings, told, capsys):
    assert "is in shadow" in told("train", "--why", "first one", "--by", "ada")
    first = current_pin(filled.blobs).candidate
    assert f"{first}  in shadow" in told("list")
    assert f"model {first} is promoted: not worse beside no model" in told("judge")
    assert f"{first}  in force" in told("list")
    told("train")
    second = current_pin(filled.blobs).candidate
    assert f"{second}  in force" in told("promote", second, "--why", "in a hurry", "--by", "bob")
    assert f"{first}  in force, pinned" in told("rollback", "--why", "not that one", "--by", "bob")
    told("unpin", "--by", "bob")
    assert f"{second}  in force, pinned" in told("pin", second)

    history = told("history")
    whats = [line.split("  ")[2].split(" m-")[0] for line in history.splitlines() if line[0].isdigit()]
    assert whats == ["pinned", "unpinned", "rolled back", "promoted", "trained", "promoted", "shadowed", "trained"]
    assert f"promoted {second} by bob: {first} -> {second}\n    in a hurry\n" in history
    assert f"trained {first} by ada: no model stays in force\n    first one: learnt from" in history
    assert f"promoted {first} by retrain: no model -> {first}\n    not worse beside no model: confirmed" in history
    assert told("history", "--limit", "1", "--before", "2").startswith("1  ")
    assert "watchkeeper models history --before 8" in told("history", "--limit", "1")
    assert main(["models", "promote", first, "--data-dir", settings.data_dir]) == 2
    assert f"{second} is pinned; `watchkeeper models unpin` first" in capsys.readouterr().err


def test_what_was_done_before_there_was_a_history_is_said_to_be_nothing(filled, told):
    assert told("history") == "nothing has changed yet\n"


def test_a_trained_model_is_in_shadow_and_the_next_one_takes_its_place_there(filled, settings):
    assert "is in shadow" in retrain_now(filled, settings.shards)
    first = current_pin(filled.blobs).candidate
    retrain_now(filled, settings.shards)
    pin = current_pin(filled.blobs)
    assert (pin.version, pin.candidate != first) == ("", True)
    assert f"in place of {first}" in model_history(filled.blobs)[0].why
    assert sorted(model_versions(filled.blobs)) == sorted([first, pin.candidate])


def test_a_pinned_model_stays_in_force_and_the_new_one_in_shadow(filled, settings, told):
    retrain_now(filled, settings.shards)
    first = current_pin(filled.blobs).candidate
    assert f"{first}  in force, pinned" in told("pin", first)
    assert f"stays while {first} is pinned" in retrain_now(filled, settings.shards)
    second = current_pin(filled.blobs).candidate
    assert f"model {second} is waiting: {first} is pinned; it is not worse" in told("judge")
    assert f"{second} is in shadow, not worse: beside {first}" in told("list")
    assert current_pin(filled.blobs).version == first
    told("unpin")
    assert f"model {second} is promoted" in told("judge")


def test_what_cannot_be_done_with_models_is_said(settings, capsys):
    with pytest.raises(ConfigError, match="no Watchkeeper has kept data there"):
        manage_models(settings, "list")
    open_node(settings, durable=False)[0].close()
    with pytest.raises(ModelError, match="takes to learn from"):
        manage_models(settings, "train")
    for action in ("pin", "promote"):
        with pytest.raises(ModelError, match="no model 'm-1'; stored are: none"):
            manage_models(settings, action, "m-1")
    with pytest.raises(ModelError, match="roll back"):
        manage_models(settings, "rollback")
    with pytest.raises(ModelError, match="none is pinned"):
        manage_models(settings, "unpin")
    assert manage_models(settings, "judge") == 0
    told = capsys.readouterr().out
    assert "no model is in shadow" in told
    assert "no model is in force yet" in told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pin"], "required: VERSION"),
        (["list", "m-1"], "unrecognized arguments: m-1"),
        (["list", "--why", "x"], "unrecognized arguments: --why"),
        (["judge", "--limit", "3"], "unrecognized arguments: --limit"),
    ],
)
def test_an_action_takes_only_what_it_heeds(words, says, capsys):
    with pytest.raises(SystemExit):
        main(["models", *words])
    assert says in capsys.readouterr().err


def reviewed(ports, verdict, start, end, device="d1"):
    said = Review("e1", "default", device, start, end, verdict, "ada", NOW)
    ports.tables.put(REVIEWS.name, Key("default", "e1"), msgspec.json.encode(said))


def test_confirmed_anomalies_are_left_out_of_training(filled, settings):
    everything = retrain(filled, settings.shards, NOW).rows
    reviewed(filled, "confirmed", NOW - 100_000, NOW)
    assert retrain(filled, settings.shards, NOW).rows == everything - 100


def test_what_was_flagged_is_left_out_of_training_and_stays_in_where_people_rejected_it(settings):
    ports, published = open_node(settings, durable=False)
    try:
        send(ports, published, settings, NOW, (10.0, 10.0))
        everything = retrain(ports, settings.shards, NOW).rows
        send(ports, published, settings, NOW + 400_000, (10.0, 40.0))
        flagged = retrain(ports, settings.shards, NOW + 400_000).rows
        assert everything < flagged < 2 * everything + 200
        reviewed(ports, "rejected", NOW, NOW + 400_000)
        assert retrain(ports, settings.shards, NOW + 400_000).rows == everything + 800
        reviewed(ports, "rejected", NOW, NOW + 400_000, device="d0")
        assert retrain(ports, settings.shards, NOW + 400_000).rows == flagged
    finally:
        ports.close()


def test_a_model_learns_nothing_that_comes_after_it(filled, settings):
    assert retrain(filled, settings.shards, NOW - 100_000).rows == retrain(filled, settings.shards, NOW).rows - 3 * 100


def test_a_replay_says_what_would_have_differed_and_changes_nothing(filled, told):
    told("train")
    first = current_pin(filled.blobs).candidate
    told("promote", first)
    told("train")
    second = current_pin(filled.blobs).candidate
    before = {key: filled.blobs.versions([key]) for key in filled.blobs.list("")}
    said = told("replay", second, "--since", "2026-09-20")
    assert f"{second} beside {first}, 2026-09-20 00:00:00 to" in said
    assert "3 devices:" in said
    head, day = said.splitlines()[1:3]
    assert head.split("  ")[0] == "day"
    assert day.split()[:2] == ["2026-09-21", "1200"]
    assert said.endswith("Nothing has changed.\n")
    assert "nothing is stored from then on" in told("replay", second, "--since", "1h", "--against", first)
    assert {key: filled.blobs.versions([key]) for key in filled.blobs.list("")} == before


@pytest.mark.parametrize(
    ("words", "says"), [(["m-9"], "there is no model 'm-9'"), (["m-9", "--against", "m-8"], "there is no model 'm-9'")]
)
def test_a_replay_with_a_model_that_is_not_there_is_refused(settings, words, says, capsys):
    open_node(settings, durable=False)[0].close()
    assert main(["models", "replay", *words, "--data-dir", settings.data_dir]) == 2
    assert says in capsys.readouterr().err


def test_a_replay_since_what_is_no_time_is_refused(filled, settings, told, capsys):
    told("train")
    words = ["replay", current_pin(filled.blobs).candidate, "--since", "soon", "--data-dir", settings.data_dir]
    assert main(["models", *words]) == 2
    assert "--since: not a time: 'soon'" in capsys.readouterr().err
