"""A candidate's way: in shadow until data came that it cannot have learnt, compared, promoted or refused."""

import contextlib

import msgspec
import numpy as np
import pytest

from tests.unit.shadow import support
from tests.unit.shadow.support import AFTER, HOUR, ME, MINUTE, NOW, Fleet, garbage, put_in_force, sound
from watchkeeper.errors import Conflict
from watchkeeper.model_in_force import (
    RETRAIN,
    current_pin,
    model_history,
    model_key,
    pin_model,
    put_in_shadow,
    roll_back_model,
    unpin_model,
)
from watchkeeper.shadow import judging, trial
from watchkeeper.shadow.judging import STALE_MS, Standing, is_awaited, judge, learn_candidate
from watchkeeper.shadow.rescoring import Rescored, rescore
from watchkeeper.shadow.trial import stored_trial, trial_key


@pytest.fixture
def fleet():
    return Fleet()


def changes(fleet):
    return [(change.what, change.model) for change in reversed(model_history(fleet.ports.blobs))]


def test_the_first_model_is_compared_with_none_and_promoted_by_the_same_rule(fleet):
    model = learn_candidate(fleet.ports, support.SHARDS, NOW)
    assert current_pin(fleet.ports.blobs).version == ""
    standing = fleet.judge()
    assert (standing.state, standing.candidate) == ("promoted", model.version)
    assert "not worse beside no model" in standing.why
    pin = current_pin(fleet.ports.blobs)
    assert (pin.version, pin.candidate, pin.pinned) == (model.version, "", False)
    assert changes(fleet) == [("trained", model.version), ("shadowed", model.version), ("promoted", model.version)]
    assert model_history(fleet.ports.blobs)[0].by == RETRAIN


def test_an_equal_candidate_is_promoted_on_readings_of_both_spans(fleet):
    put_in_force(fleet.ports.blobs, sound("m-1"))
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    fleet.review("confirmed")
    assert fleet.judge().state == "promoted"
    found, _ = stored_trial(fleet.ports.blobs, "m-2")
    assert (found.state, found.why) == ("not worse", ())
    counts = found.counts
    assert counts.candidate == counts.in_force
    assert (counts.devices, counts.confirmed, counts.candidate.found) == (3, 1, 1)
    assert counts.later_ms == 3 * (AFTER - 1) * MINUTE
    assert counts.recent_ms > counts.later_ms
    assert counts.score_drift == pytest.approx(0)
    assert current_pin(fleet.ports.blobs).previous == "m-1"


def test_a_candidate_learnt_from_garbage_is_refused_with_its_numbers_and_stays_stored(fleet):
    put_in_force(fleet.ports.blobs, sound("m-1"))
    put_in_shadow(fleet.ports.blobs, garbage("m-2"), ME)
    standing = fleet.judge()
    assert standing.state == "refused"
    assert "its scores are distributed otherwise: index" in standing.why
    pin = current_pin(fleet.ports.blobs)
    assert (pin.version, pin.candidate) == ("m-1", "")
    assert changes(fleet)[-1] == ("refused", "m-2")
    assert model_history(fleet.ports.blobs)[0].why == standing.why
    assert stored_trial(fleet.ports.blobs, "m-2")[0].state == "worse"
    assert fleet.ports.blobs.versions([model_key("m-2")])
    assert fleet.judge() == Standing("none")


@pytest.mark.parametrize(
    ("says", "objection"),
    [
        (lambda flags: flags & False, "it finds 0 of 1 confirmed episodes, m-1 1"),
        (lambda flags: flags | (np.arange(len(flags)) == 120), "it opens in 1 of 1 rejected episodes, m-1 in 0"),
        (lambda flags: flags | (np.arange(len(flags)) % 9 == 0), "before it was learnt, it opens"),
    ],
    ids=["blind", "opens what was rejected", "loud"],
)
def test_a_candidate_is_refused_for_what_it_does_to_reviewed_episodes_and_for_openings(
    fleet, monkeypatch, says, objection
):
    def rescored(histories, bundle, model, classes):
        found = rescore(histories, bundle, model, classes)
        if model.version == "m-1":
            return found
        return [Rescored(each.score, says(each.anomalous), each.warming) for each in found]

    monkeypatch.setattr(trial, "rescore", rescored)
    fleet.review("confirmed")
    fleet.review("rejected", first=120, readings=5)
    put_in_force(fleet.ports.blobs, sound("m-1"))
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    standing = fleet.judge()
    assert standing.state == "refused"
    assert objection in standing.why
    assert current_pin(fleet.ports.blobs).version == "m-1"


def test_what_rules_found_says_nothing_of_a_model(fleet):
    fleet.review("confirmed", detector="rule:hot")
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    assert fleet.judge().state == "promoted"
    assert stored_trial(fleet.ports.blobs, "m-2")[0].counts.confirmed == 0


def test_a_model_that_cannot_be_read_any_more_is_refused(fleet):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    fleet.ports.blobs.put(model_key("m-2"), b"rubbish")
    standing = fleet.judge()
    assert standing.state == "refused"
    assert "cannot be compared: not a model" in standing.why


def test_it_waits_until_devices_were_heard_for_long_enough_after_it_was_learnt(fleet):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    fleet.shadow_ms = 2 * HOUR
    assert fleet.judge(NOW + HOUR) == Standing("waiting", "m-2", "in shadow for 1.0 of 2 hours")
    standing = fleet.judge(NOW + 9 * HOUR)
    assert standing == Standing("waiting", "m-2", "devices were heard for 0.8 of 2 hours since it was learnt")
    assert changes(fleet) == [("trained", "m-2")]
    fleet.shadow_ms = AFTER * MINUTE
    assert fleet.judge(NOW + 9 * HOUR).state == "promoted"


def test_without_a_span_it_is_judged_at_once_by_what_there_is(fleet):
    fleet.shadow_ms = 0
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    assert fleet.judge(NOW + 1).state == "promoted"
    assert stored_trial(fleet.ports.blobs, "m-2")[0].counts.later_ms == 0


def test_old_data_are_compared_by_their_newest_week(fleet):
    fleet.shadow_ms = 0
    put_in_shadow(fleet.ports.blobs, sound("m-2"), support.Who("ada", NOW + 400 * 24 * HOUR))
    assert fleet.judge(NOW + 400 * 24 * HOUR).state == "promoted"


def test_where_nothing_is_stored_nothing_is_promoted():
    empty = Fleet(ports=support.memory_ports(1), shadow_ms=0)
    empty.ports = support.memory_ports(1)
    put_in_shadow(empty.ports.blobs, sound("m-2"), ME)
    standing = empty.judge()
    assert standing.state == "refused"
    assert "no device that is past its first readings was heard" in standing.why


@pytest.fixture
def in_small_parts(monkeypatch):
    monkeypatch.setattr(trial, "AT_ONCE", 1)
    monkeypatch.setattr(trial, "REVIEWS_AT_ONCE", 1)


@pytest.mark.usefixtures("in_small_parts")
def test_cut_off_by_its_deadline_it_goes_on_and_comes_to_the_same(fleet):
    whole = Fleet()
    for each in (fleet, whole):
        put_in_force(each.ports.blobs, sound("m-1"))
        put_in_shadow(each.ports.blobs, sound("m-2", seed=2), ME)
        each.review("confirmed")
        each.review("rejected", first=180, readings=5)
    whole.judge()

    seen, rounds = [], 0
    while (
        standing := judge(fleet.shadow()._replace(left_ms=iter([judging.PART_MS, 0]).__next__))
    ).state == "comparing":
        seen.append(standing.why)
        rounds += 1
        assert rounds < 20
    assert standing.state == "promoted"
    assert seen == [f"{done} of 5 devices and reviewed episodes are compared" for done in (1, 2, 3, 4)]
    assert stored_trial(fleet.ports.blobs, "m-2")[0] == stored_trial(whole.ports.blobs, "m-2")[0]
    assert changes(fleet).count(("shadowed", "m-2")) == 1


@pytest.mark.usefixtures("in_small_parts")
def test_without_time_for_a_part_none_is_begun(fleet):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    standing = fleet.judge(left_ms=judging.PART_MS - 1)
    assert standing == Standing("comparing", "m-2", "0 of 3 devices and reviewed episodes are compared")


@pytest.mark.usefixtures("in_small_parts")
def test_a_comparison_that_somebody_else_goes_on_with_is_left_to_them(fleet, monkeypatch):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    part = trial.next_part

    def beside(found, blobs, *rest):
        blobs.put(trial_key("m-2"), msgspec.json.encode(found))
        return part(found, blobs, *rest)

    monkeypatch.setattr(judging, "next_part", beside)
    assert fleet.judge() == Standing("comparing", "m-2", "another process compares it, too")


def test_a_pinned_model_stays_and_is_replaced_once_it_is_unpinned(fleet):
    put_in_force(fleet.ports.blobs, sound("m-1"))
    pin_model(fleet.ports.blobs, "m-1", ME)
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    for _ in range(2):
        standing = fleet.judge()
        assert standing.state == "waiting"
        assert standing.why.startswith("m-1 is pinned; it is not worse beside m-1")
    assert current_pin(fleet.ports.blobs).version == "m-1"
    assert changes(fleet).count(("shadowed", "m-2")) == 1
    unpin_model(fleet.ports.blobs, ME)
    assert fleet.judge().state == "promoted"


@pytest.mark.parametrize("by_a_person", ["pin", "roll back", "pin and unpin another", "pin what is in force"])
def test_what_a_person_decides_while_it_is_compared_stays(fleet, monkeypatch, by_a_person):
    blobs = fleet.ports.blobs
    for version in ("m-0", "m-1"):
        put_in_force(blobs, sound(version))
    put_in_shadow(blobs, sound("m-2"), ME)
    part = trial.next_part

    def meanwhile(found, *rest):
        if by_a_person == "roll back":
            roll_back_model(blobs, ME)
        else:
            pin_model(blobs, "m-1" if by_a_person == "pin what is in force" else "m-0", ME)
        if by_a_person == "pin and unpin another":
            unpin_model(blobs, ME)
        monkeypatch.setattr(judging, "next_part", part)
        return part(found, *rest)

    monkeypatch.setattr(judging, "next_part", meanwhile)
    assert fleet.judge() == Standing("waiting", "m-2", "somebody has changed which model is in force meanwhile")
    pin = current_pin(blobs)
    assert pin.version == ("m-1" if by_a_person == "pin what is in force" else "m-0")
    assert "promoted" not in [change.what for change in model_history(blobs) if change.model == "m-2"]
    again = fleet.judge()
    assert again.state == ("promoted" if by_a_person == "pin and unpin another" else "waiting")
    assert stored_trial(blobs, "m-2")[0].against == pin.version


def test_the_pointer_moves_only_over_what_was_read(fleet, monkeypatch):
    blobs = fleet.ports.blobs
    put_in_force(blobs, sound("m-1"))
    put_in_shadow(blobs, sound("m-2"), ME)
    put = blobs.put

    def a_person_is_faster(key, data, *expect):
        if key == "models/current" and b'"what":"promoted","by":"retrain"' in data:
            monkeypatch.setattr(blobs, "put", put)
            pin_model(blobs, "m-1", ME)
        return put(key, data, *expect)

    monkeypatch.setattr(blobs, "put", a_person_is_faster)
    assert fleet.judge().why == "somebody has changed which model is in force meanwhile"
    assert (current_pin(blobs).version, current_pin(blobs).pinned) == ("m-1", True)


def test_a_process_that_ends_after_the_verdict_is_gone_on_from_there(fleet, monkeypatch):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    with monkeypatch.context() as dying, contextlib.suppress(KeyboardInterrupt):
        dying.setattr(judging, "promote_candidate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        fleet.judge()
    assert stored_trial(fleet.ports.blobs, "m-2")[0].state == "not worse"
    monkeypatch.setattr(judging, "next_part", lambda *_: pytest.fail("compared again"))
    assert fleet.judge().state == "promoted"


def test_a_damaged_comparison_is_said_and_made_anew(fleet, caplog):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    fleet.ports.blobs.put(trial_key("m-2"), b"{")
    assert fleet.judge().state == "promoted"
    assert "models/m-2.trial cannot be read" in caplog.text


def test_a_candidate_that_nobody_can_judge_is_awaited_for_a_week(fleet):
    put_in_shadow(fleet.ports.blobs, sound("m-2"), ME)
    pin = current_pin(fleet.ports.blobs)
    assert is_awaited(pin, NOW + STALE_MS - 1)
    assert not is_awaited(pin, NOW + STALE_MS)
    later = learn_candidate(fleet.ports, support.SHARDS, NOW + STALE_MS)
    change = model_history(fleet.ports.blobs)[0]
    assert change.model == later.version
    assert "in place of m-2, which was not decided on" in change.why


def test_whoever_is_always_overtaken_is_told(fleet, monkeypatch):
    blobs = fleet.ports.blobs
    put_in_force(blobs, sound("m-1"))
    put = blobs.put

    def overtaken(key, data, *expect):
        if key == "models/current":
            raise Conflict(key)
        return put(key, data, *expect)

    monkeypatch.setattr(blobs, "put", overtaken)
    with pytest.raises(Conflict, match="again and again; pinned was not done"):
        pin_model(blobs, "m-1", ME)
