"""Whatever goes wrong on the way, the outcome is that of a day on which nothing did.

SIMULATOR_EXAMPLES=1000 looks deeper.
"""

import functools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.simulator.checks import hold, in_memory, reference
from tests.simulator.faults import Fault
from tests.simulator.results import results_of, wrong_in
from tests.simulator.scenario import PARTITIONS, SHARDS, STORIES, Scenario, Story, tell
from tests.simulator.strategies import disturbances, scenarios
from tests.simulator.world import Disturbance, World
from watchkeeper_local.sqlite import open_ports

EXAMPLES = int(os.environ.get("SIMULATOR_EXAMPLES", "30"))
STORY = Story("dips", start=0, length=20)
EVENTS = tell(STORY, 1).events[:7]  # an alert opens, is told, and is resolved: what comes later finds all at rest


class Sqlite:
    """A factory of SQLite ports in folders that vanish."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="simulator-")
        self.opened = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ports in self.opened:
            ports.close()
        self.folder.cleanup()

    def __call__(self, receivers, writer):
        path = Path(self.folder.name) / str(len(self.opened))
        ports = open_ports(
            path, partitions=PARTITIONS, shards=SHARDS, language_model=writer, receivers=receivers, durable=False
        )
        self.opened.append(ports)
        return ports


@pytest.mark.parametrize("kind", STORIES)
def test_each_story_alone_comes_to_what_it_says(kind):
    reference(Scenario((Story(kind, start=8, length=8, returns=True),), night=True))


@pytest.mark.timeout(600)  # dozens of days
@settings(max_examples=max(EXAMPLES // 2, 1))  # each with two disturbances: they share what should come of it
@given(scenarios, st.tuples(disturbances, disturbances))
@example(Scenario((Story("corrected", 4, 9),)), [Disturbance(copies=2)])  # a late retry takes no correction back
@example(Scenario((Story("post no clock"),)), [Disturbance(copies=2)])  # an idempotency key holds without a clock
@example(Scenario((Story("two sets", 1, 10), Story("late", 9, 8))), [Disturbance(steps=(0,))])  # all in one batch
def test_over_memory_nothing_is_lost_doubled_or_changed(scenario, disturbed):
    for disturbance in disturbed:
        hold(in_memory, scenario, disturbance)


@pytest.mark.timeout(600)
@settings(max_examples=max(EXAMPLES // 4, 1))
@given(scenarios, st.tuples(disturbances, disturbances))
def test_over_sqlite_nothing_is_lost_doubled_changed_or_counted_twice(scenario, disturbed):
    with Sqlite() as factory:
        for disturbance in disturbed:
            hold(factory, scenario, disturbance, transactional=True)


def play(make_ports, *faults, **more):
    """The first episode of a story with many, and what it comes to."""
    world = World(make_ports, Disturbance(faults), **more).play(EVENTS)
    told = tell(STORY, 1)
    told.stored = told.stored[: len(EVENTS)]
    results = results_of(world, told)
    wrong = wrong_in(world, results, told) + (results.differences(undisturbed()) if faults else [])
    assert not wrong, "\n".join([*world.faults.done, *wrong])
    return world.faults.points, results


def test_lateness_between_sets_of_metrics_does_not_depend_on_how_the_stream_is_cut():
    hold(in_memory, Scenario((Story("two sets, late", 11, 8),)), Disturbance(cuts=(1,), steps=(20,)))


@functools.cache
def undisturbed():
    return play(in_memory)[1]


@pytest.mark.parametrize(
    ("kind", "at_reads", "step"),
    [("crash", False, 5), ("rewind", False, 11), ("rival", True, 13), ("outage", True, 13)],
)
def test_a_fault_before_or_after_any_single_effect_changes_nothing(kind, at_reads, step):
    for gap in range(0, play(in_memory, at_reads=at_reads)[0], step):
        play(in_memory, Fault(gap, kind, 3), at_reads=at_reads)


def test_over_sqlite_a_crash_before_or_after_any_single_effect_changes_nothing():
    with Sqlite() as factory:
        for gap in range(0, play(factory, transactional=True, at_reads=False)[0], 17):
            play(factory, Fault(gap, "crash"), transactional=True, at_reads=False)
