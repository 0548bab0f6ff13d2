"""States: read as they are stored now, written by compare-and-swap, refused when they cannot be read."""

import msgspec
import pytest

from tests.unit.core.stages_of_tests import Tally, stage
from watchkeeper.errors import Conflict, StateError
from watchkeeper.memory import MemoryBlobs
from watchkeeper.outcome import ABSENT
from watchkeeper.states import States, read_envelope, state_key


@pytest.fixture
def blobs():
    return MemoryBlobs()


def states(blobs):
    return States(stage(), "t", blobs)


def count_up(held, shard, by=1):
    envelope = held.load([shard])[shard]
    envelope.state.readings += by
    envelope.taken["src"] = (envelope.state.readings, 0)
    held.save({shard: envelope})


def test_a_shard_never_seen_begins_empty(blobs):
    envelope = states(blobs).load([7])[7]
    assert (envelope.state, envelope.taken, envelope.version) == (Tally(), {}, ABSENT)


def test_what_was_saved_is_read_by_the_next_worker(blobs):
    count_up(states(blobs), 3, by=5)
    envelope = states(blobs).load([3])[3]
    assert (envelope.state.readings, envelope.taken) == (5, {"src": (5, 0)})


def test_an_old_cache_is_not_believed(blobs):
    mine, theirs = states(blobs), states(blobs)
    count_up(mine, 0)
    count_up(theirs, 0)
    count_up(mine, 0)
    assert states(blobs).load([0])[0].state.readings == 3


def test_only_what_has_changed_is_read_again(blobs):
    held = states(blobs)
    count_up(held, 0)
    count_up(held, 1)
    count_up(states(blobs), 1)
    before = dict(held.cache)
    after = held.load([0, 1])
    assert after[0] is before[0]
    assert (after[1].state.readings, before[1].state.readings) == (2, 1)


def test_who_writes_over_what_it_has_not_read_is_told(blobs):
    mine, theirs = states(blobs), states(blobs)
    held = mine.load([0])
    count_up(theirs, 0)
    with pytest.raises(Conflict):
        mine.save(held)


def test_a_state_whose_blob_has_gone_begins_anew(blobs):
    held = states(blobs)
    count_up(held, 0)
    blobs.delete([state_key("tally", "t", 0)])
    assert held.load([0])[0].state.readings == 0


def test_what_is_forgotten_is_read_again(blobs):
    held = states(blobs)
    count_up(held, 0)
    held.load([0])[0].state.readings = 99  # a stage that died before its effects were committed
    held.forget()
    assert held.load([0])[0].state.readings == 1


def test_a_stage_without_a_codec_keeps_only_what_it_has_taken(blobs):
    held = States(stage(codec=None), "t", blobs)
    envelope = held.load([0])[0]
    envelope.taken["src"] = (1, 2)
    held.save({0: envelope})
    again = States(stage(codec=None), "t", blobs).load([0])[0]
    assert (again.state, again.taken) == (None, {"src": (1, 2)})


@pytest.mark.parametrize(
    "data",
    [b"", b"rubbish", msgspec.msgpack.encode([2, {}, b""]), msgspec.msgpack.encode([1, {}, b"x"])],
    ids=["empty", "rubbish", "another version", "no tally"],
)
def test_what_is_no_state_is_refused_by_its_name(blobs, data):
    blobs.put(state_key("tally", "t", 0), data)
    with pytest.raises(StateError):
        states(blobs).load([0])


def test_the_name_of_the_state_is_said():
    with pytest.raises(StateError, match=r"here: a state of version 2; this release reads 1"):
        read_envelope(msgspec.msgpack.encode([2, {}, b""]), "here")


def test_a_state_of_another_version_is_refused(blobs):
    body = msgspec.msgpack.encode(Tally(v=2))
    blobs.put(state_key("tally", "t", 0), msgspec.msgpack.encode([1, {}, body]))
    with pytest.raises(StateError, match="version 2"):
        states(blobs).load([0])
