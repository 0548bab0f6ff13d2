"""A simulator that finds nothing may be blind. Bugs that people really write are planted here, and it must see each."""

import pytest

from tests.simulator.checks import hold, in_memory
from tests.simulator.faults import Fault
from tests.simulator.scenario import Scenario, Story
from tests.simulator.world import Disturbance
from watchkeeper import run
from watchkeeper.run import Runner
from watchkeeper.states import Envelope, States
from watchkeeper.worker import Worker

SCENARIO = Scenario((Story("dips", 0, 20), Story("corrected", 2, 10), Story("by http", 4, 6), Story("history", 6, 9)))
CRASHES = Disturbance(tuple(Fault(97, "crash") for _ in range(40)), cuts=(3,), steps=(2,), copies=3)
RIVALS = Disturbance(tuple(Fault(61, "rival", 4) for _ in range(40)), cuts=(3,), steps=(2,))


def seen(disturbance):
    with pytest.raises(AssertionError, match=r"went wrong|two anomalies"):
        hold(in_memory, SCENARIO, disturbance)


@pytest.mark.parametrize("disturbance", [CRASHES, RIVALS], ids=["crashes", "rivals"])
def test_without_a_planted_bug_it_is_content(disturbance):
    hold(in_memory, SCENARIO, disturbance)


def test_it_sees_that_repetitions_are_taken_again(monkeypatch):
    monkeypatch.setattr(Runner, "_fresh", lambda _self, item, *_: item)
    seen(CRASHES)


@pytest.mark.parametrize("forgetful", ["clean", "rule_check", "ml_score", "store"])
def test_it_sees_that_a_stage_forgets_its_state(monkeypatch, forgetful):
    load = States.load

    def forget(self, shards):
        loaded = load(self, shards)
        if self.stage.name != forgetful:
            return loaded
        return {shard: Envelope(e.taken, self.stage.codec.empty(), e.version) for shard, e in loaded.items()}

    monkeypatch.setattr(States, "load", forget)
    seen(CRASHES)


def test_it_sees_that_a_batch_is_acknowledged_before_its_effects(monkeypatch):
    take = Runner.take

    def too_early(self, partition, messages, ack=lambda: None):
        ack()
        return take(self, partition, messages)

    monkeypatch.setattr(Runner, "take", too_early)
    seen(CRASHES)


def test_it_sees_that_poison_takes_its_neighbours_along(monkeypatch):
    def all_at_once(self, partition, messages, ack=lambda: None):
        try:
            return self._attempt(partition, messages, ack)
        except ValueError as error:
            dead = [self._dead(partition, message, str(error)) for message in messages]
            return self._commit(run.Outcome(dead=dead), {}, ack)

    monkeypatch.setattr(Runner, "take", all_at_once)
    with pytest.raises(AssertionError, match="went wrong"):
        hold(in_memory, Scenario((Story("healthy"), Story("poison", 3), Story("hot"))), Disturbance(steps=(0,)))


def test_it_sees_that_a_partition_gives_up_after_an_outage(monkeypatch):
    def gives_up(self, lane, error):
        lane.position += 1

    monkeypatch.setattr(Worker, "_rest", gives_up)
    seen(Disturbance(tuple(Fault(180, "outage", 3) for _ in range(12)), cuts=(2,), steps=(3,)))
