"""A worker goes on where the last one stopped, rests while a dependency is down, and holds up nobody else."""

import dataclasses

import msgspec
import pytest

from tests.unit.core.stages_of_tests import NOW, SHARDS, pack, stage, tally
from watchkeeper.errors import Conflict, StateError, Unavailable
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.outcome import Outcome
from watchkeeper.ports import Message
from watchkeeper.published import Published
from watchkeeper.states import read_envelope, state_key
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, RULE_CHECK_OUTPUT, Every
from watchkeeper.worker import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Worker

PARTITIONS = 2


@dataclasses.dataclass
class Plant:
    """A worker over memory ports, with a clock that stands still."""

    stages: tuple
    ports: object = dataclasses.field(default_factory=lambda: memory_ports(PARTITIONS))
    now: int = NOW

    def worker(self, **more):
        published = Published(self.ports, Bundle.from_files({}))
        given = {"shards": SHARDS, "clock": lambda: self.now, "lanes": self.stages, "timers": self.stages}
        return Worker(self.ports, published, **given | more)

    def send(self, *values, shard=0, topic=RULE_CHECK_OUTPUT):
        self.ports.stream.append(topic.name, [Message(shard, pack(value, shard=shard).encode()) for value in values])

    def readings(self, shard=0, topic=RULE_CHECK_OUTPUT):
        key = state_key("tally", topic.name, shard)
        held = self.ports.blobs.get_many([key])
        return msgspec.msgpack.decode(read_envelope(held[key].data, key)[1])[1] if held else 0


def failing(error, *, until=1):
    """A stage that fails so often, then works."""
    left = [error] * until

    def take(batch, ctx):
        if left:
            raise left.pop()
        return tally(batch, ctx)

    return stage(take)


def test_a_new_worker_goes_on_where_the_last_one_stopped():
    plant = Plant((stage(),))
    plant.send(1.0, 2.0, 3.0)
    plant.worker(batch=2).step()
    assert plant.readings() == 2
    plant.send(4.0)
    worker = plant.worker()
    assert worker.step()["messages"] == 2
    assert "messages" not in worker.step()
    assert plant.readings() == 4


def test_a_worker_takes_only_the_partitions_it_owns():
    plant = Plant((stage(),))
    plant.send(1.0, shard=0)
    plant.send(1.0, shard=1)
    plant.worker(owns=lambda partition: partition == 1).step()
    assert (plant.readings(0), plant.readings(1)) == (0, 1)


def test_the_timer_is_given_the_shards_of_the_owned_partitions():
    given = []

    def tick(ctx):
        given.append(sorted(ctx.states))
        return Outcome()

    plant = Plant((stage(tick=tick, on=(RULE_CHECK_OUTPUT, Every(10))),))
    plant.worker(owns=lambda partition: partition == 1).step()
    assert given == [[1, 3]]


def test_a_timer_runs_when_it_is_due():
    ticks = []
    plant = Plant((stage(tick=lambda ctx: ticks.append(ctx.now) or Outcome(), on=(RULE_CHECK_OUTPUT, Every(10))),))
    worker = plant.worker()
    for seconds in (0, 1, 9, 10, 11, 25):
        plant.now = NOW + seconds * 1000
        worker.step()
    assert [tick - NOW for tick in ticks] == [0, 10_000, 25_000]


@pytest.mark.parametrize(
    "error", [Unavailable("away"), Conflict("x"), StateError("x"), ZeroDivisionError("a bug")], ids=repr
)
def test_a_timer_that_fails_stops_nothing(error):
    def tick(ctx):
        raise error

    plant = Plant((stage(tick=tick, on=(RULE_CHECK_OUTPUT, Every(10))),))
    plant.send(1.0)
    worker = plant.worker()
    worker.step()
    assert plant.readings() == 1


def test_lanes_and_timers_can_be_apart():
    ticks = []
    of_both = stage(tick=lambda ctx: ticks.append(1) or Outcome(), on=(RULE_CHECK_OUTPUT, Every(10)))
    plant = Plant((of_both,))
    plant.send(1.0)
    plant.worker(timers=()).step()
    assert (plant.readings(), ticks) == (1, [])
    plant.worker(lanes=()).step()
    assert ticks == [1]


def test_a_partition_whose_dependency_is_down_rests_longer_each_time():
    plant = Plant((failing(Unavailable("away"), until=10),))
    plant.send(1.0)
    worker, pauses, since = plant.worker(), [], NOW
    for _ in range(30_000):
        failures = worker._lanes[0].failures
        worker.step()
        if worker._lanes[0].failures > failures:
            pauses.append(plant.now - since)
            since = plant.now
        if not worker.blocked:
            break
        plant.now += 250
    assert pauses[:4] == [0, FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
    assert max(pauses) == LONGEST_PAUSE_MS
    assert plant.readings() == 1


def test_the_others_are_not_held_up_and_it_is_said_who_rests_and_why():
    def take(batch, ctx):
        if batch[0].record.shard == 0:
            raise Unavailable("the disk is full")
        return tally(batch, ctx)

    plant = Plant((stage(take),))
    plant.send(1.0, shard=0)
    plant.send(1.0, shard=1)
    worker = plant.worker()
    worker.step()
    assert (plant.readings(0), plant.readings(1)) == (0, 1)
    assert worker.blocked == {"tally rule-check-output/0": "Unavailable: the disk is full"}


def test_a_partition_that_has_nothing_to_take_is_not_blocked_for_ever(monkeypatch):
    plant = Plant((stage(),))
    worker = plant.worker()
    with monkeypatch.context() as outage:
        outage.setattr(plant.ports.stream, "read", _away)
        worker.step()
    assert worker.blocked
    plant.now += FIRST_PAUSE_MS
    worker.step()
    assert worker.blocked == {}


def _away(*_):
    raise Unavailable("away")


def test_a_state_that_cannot_be_read_stops_only_its_partition():
    plant = Plant((stage(),))
    plant.ports.blobs.put(state_key("tally", RULE_CHECK_OUTPUT.name, 0), b"rubbish")
    plant.send(1.0, shard=0)
    plant.send(1.0, shard=1)
    worker = plant.worker()
    worker.step()
    assert list(worker.blocked) == ["tally rule-check-output/0"]
    assert plant.readings(1) == 1


def test_a_stage_of_several_topics_keeps_a_state_for_each():
    plant = Plant((stage(on=(RULE_CHECK_OUTPUT, DATA_PROCESSING_OUTPUT)),))
    plant.send(1.0)
    plant.send(2.0, 3.0, topic=DATA_PROCESSING_OUTPUT)
    plant.worker().step()
    assert (plant.readings(), plant.readings(topic=DATA_PROCESSING_OUTPUT)) == (1, 2)


def test_a_worker_says_that_it_is_behind_while_more_waits_than_it_takes_at_once():
    plant = Plant((stage(),))
    plant.send(*map(float, range(5)))
    worker = plant.worker(batch=2)
    behind = []
    for _ in range(4):
        worker.step()
        behind.append(worker.behind)
    assert behind == [True, True, False, False]
    assert plant.readings() == 5


def test_a_batch_is_cut_by_its_bytes_too(monkeypatch):
    monkeypatch.setattr("watchkeeper.worker.BATCH_BYTES", 1)
    monkeypatch.setattr("watchkeeper.worker.READ", 2)
    plant = Plant((stage(),))
    plant.send(*map(float, range(5)))
    assert plant.worker().step()["messages"] == 2
