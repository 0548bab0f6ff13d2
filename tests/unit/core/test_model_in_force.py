"""Which model is in force moves by compare-and-swap, and every change of it stays told."""

import dataclasses

import msgspec
import pytest

from watchkeeper.errors import ModelError
from watchkeeper.memory import memory_ports
from watchkeeper.model_in_force import (
    CURRENT_MODEL,
    Change,
    Pin,
    Who,
    current_pin,
    model_history,
    model_versions,
    pin_model,
    promote_candidate,
    promote_model,
    put_in_shadow,
    refuse_candidate,
    roll_back_model,
    unpin_model,
)

ADA = Who("ada", 1000, "looks right")


@dataclasses.dataclass
class FakeModel:
    """Stands for a model: only its version and its bytes are looked at."""

    version: str

    def encode(self):
        return self.version.encode()


@pytest.fixture
def blobs():
    return memory_ports(1).blobs


def put_in_force(blobs, name):
    put_in_shadow(blobs, FakeModel(name), ADA)
    return promote_model(blobs, name, ADA)


def bare(pin):
    return msgspec.structs.replace(pin, learnt=0, changes=0, last=None)


def test_a_new_model_is_in_shadow_and_what_is_in_force_stays(blobs):
    put_in_force(blobs, "m-1")
    put_in_shadow(blobs, FakeModel("m-2"), Who("retrain", 5000))
    pin = current_pin(blobs)
    assert bare(pin) == Pin("m-1", candidate="m-2")
    assert pin.learnt == 5000
    assert model_versions(blobs) == ["m-1", "m-2"]


def test_a_candidate_is_promoted_over_what_it_was_compared_with_and_nothing_else(blobs):
    put_in_force(blobs, "m-1")
    put_in_shadow(blobs, FakeModel("m-2"), ADA)
    assert not promote_candidate(blobs, "m-2", "m-0", ADA)
    assert not promote_candidate(blobs, "m-3", "m-1", ADA)
    assert not refuse_candidate(blobs, "m-2", "m-0", ADA)
    assert promote_candidate(blobs, "m-2", "m-1", ADA)
    assert bare(current_pin(blobs)) == Pin("m-2", "m-1")


def test_a_pinned_model_is_not_replaced_by_a_candidate_nor_by_a_promotion_by_hand(blobs):
    put_in_force(blobs, "m-1")
    pin_model(blobs, "m-1", ADA)
    put_in_shadow(blobs, FakeModel("m-2"), ADA)
    assert not promote_candidate(blobs, "m-2", "m-1", ADA)
    with pytest.raises(ModelError, match="m-1 is pinned; `watchkeeper models unpin` first, or pin m-2 instead"):
        promote_model(blobs, "m-2", ADA)
    assert bare(pin_model(blobs, "m-2", ADA)) == Pin("m-2", "m-1", pinned=True)
    assert bare(unpin_model(blobs, ADA)) == Pin("m-2", "m-1")


def test_rolling_back_goes_to_the_model_before_and_stays_there(blobs):
    for name in ("m-1", "m-2"):
        put_in_force(blobs, name)
    assert bare(roll_back_model(blobs, ADA)) == Pin("m-1", "m-2", pinned=True)


def test_what_cannot_be_done_is_said_and_is_no_change(blobs):
    with pytest.raises(ModelError, match="no earlier model"):
        roll_back_model(blobs, ADA)
    with pytest.raises(ModelError, match="no model is in force"):
        unpin_model(blobs, ADA)
    put_in_force(blobs, "m-1")
    for move in (pin_model, promote_model):
        with pytest.raises(ModelError, match="there is no model 'm-9'; stored are: m-1"):
            move(blobs, "m-9", ADA)
    assert [change.what for change in model_history(blobs)] == ["promoted", "trained"]


def test_every_change_is_told_with_who_from_what_to_what_and_why(blobs):
    put_in_force(blobs, "m-1")
    put_in_shadow(blobs, FakeModel("m-2"), Who("retrain", 2000, "learnt from 7 readings"))
    refuse_candidate(blobs, "m-2", "m-1", Who("retrain", 3000, "it finds 0 of 1"))
    promote_model(blobs, "m-2", Who("bob", 4000, "I know better"))
    roll_back_model(blobs, Who("ada", 5000, "no, he does not"))
    unpin_model(blobs, Who("ada", 6000))
    assert model_history(blobs)[:-2] == [
        Change(7, 6000, "unpinned", "ada", "m-1", "m-1", "m-1"),
        Change(6, 5000, "rolled back", "ada", "m-1", "m-2", "m-1", "no, he does not"),
        Change(5, 4000, "promoted", "bob", "m-2", "m-1", "m-2", "I know better"),
        Change(4, 3000, "refused", "retrain", "m-2", "m-1", "m-1", "it finds 0 of 1"),
        Change(3, 2000, "trained", "retrain", "m-2", "m-1", "m-1", "learnt from 7 readings"),
    ]


def test_the_history_is_read_page_by_page(blobs):
    for number in range(7):
        put_in_shadow(blobs, FakeModel(f"m-{number}"), ADA)
    numbers, before = [], 0
    while page := [change.number for change in model_history(blobs, before, 3)]:
        numbers.append(page)
        before = page[-1]
        if before == 1:
            break
    assert numbers == [[7, 6, 5], [4, 3, 2], [1]]
    assert model_history(blobs, 1, 3) == []
    assert [change.number for change in model_history(blobs, 99, 1)] == [7]


def test_a_process_that_ends_between_the_change_and_its_record_loses_neither(blobs, monkeypatch):
    put = blobs.put
    with monkeypatch.context() as dying:
        dying.setattr(blobs, "put", lambda key, *rest: put(key, *rest) if "history" not in key else _end())
        with pytest.raises(KeyboardInterrupt):
            put_in_shadow(blobs, FakeModel("m-1"), ADA)
    assert not blobs.list("models/history/")
    assert [(change.number, change.model) for change in model_history(blobs)] == [(1, "m-1")]
    put_in_shadow(blobs, FakeModel("m-2"), ADA)
    assert [change.model for change in model_history(blobs)] == ["m-2", "m-1"]
    assert len(blobs.list("models/history/")) == 2


def _end():
    raise KeyboardInterrupt


def test_a_record_is_never_written_anew(blobs):
    put_in_shadow(blobs, FakeModel("m-1"), ADA)
    (key,) = blobs.list("models/history/")
    version = blobs.versions([key])
    put_in_shadow(blobs, FakeModel("m-2"), ADA)
    assert blobs.versions([key]) == version


def test_what_is_in_force_since_before_there_was_a_history_stays_so(blobs):
    blobs.put(CURRENT_MODEL, b'{"version":"m-1","previous":"m-0","pinned":true}')
    assert current_pin(blobs) == Pin("m-1", "m-0", pinned=True)
    assert model_history(blobs) == []
    put_in_shadow(blobs, FakeModel("m-2"), ADA)
    assert [(change.number, change.before) for change in model_history(blobs)] == [(1, "m-1")]
