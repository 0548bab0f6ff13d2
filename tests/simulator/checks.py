"""Run a scenario disturbed and undisturbed, and say how they differ. An adapter's tests need no more than this."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tests.simulator.results import Results, results_of, unaccounted, wrong_in
from tests.simulator.scenario import PARTITIONS, Scenario
from tests.simulator.world import CALM, World
from watchkeeper.memory import memory_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.world import Disturbance, PortsFactory
    from watchkeeper.ports import LanguageModel, Ports, Receiver


def in_memory(receivers: Mapping[str, Receiver], writer: LanguageModel) -> Ports:
    """The ports of the reference run."""
    return memory_ports(PARTITIONS, language_model=writer, receivers=receivers)


@functools.lru_cache(maxsize=64)
def reference(scenario: Scenario) -> Results:
    """What an undisturbed run over memory comes to; it is held to the scenario itself."""
    told = scenario.told()
    world = World(in_memory).run(scenario)
    results = results_of(world, told)
    wrong = wrong_in(world, results, told)
    wrong += unaccounted(world)
    assert not wrong, failure("an undisturbed run", scenario, CALM, wrong)
    return results


def hold(
    make_ports: PortsFactory, scenario: Scenario, disturbance: Disturbance, *, transactional: bool = False
) -> None:
    """Fail where a disturbed run comes to something else than the reference; readably."""
    should = reference(scenario)
    world = World(make_ports, disturbance, transactional=transactional).run(scenario)
    told = scenario.told()
    is_ = results_of(world, told)
    wrong = wrong_in(world, is_, told) + is_.differences(should)
    if transactional:
        wrong += unaccounted(world)
    assert not wrong, failure("a disturbed run", scenario, disturbance, wrong, world.faults.done)


def failure(
    what: str, scenario: Scenario, disturbance: Disturbance, wrong: list[str], done: list[str] | None = None
) -> str:
    """All that is needed to understand it."""
    happened = "\n".join(f"  {each}" for each in done or [])
    lines = "\n".join(f"- {each[:1200]}" for each in wrong[:12])
    return f"{what} went wrong:\n{lines}\n\n{scenario}\n{disturbance}\nwhat happened:\n{happened}"
