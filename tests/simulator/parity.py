"""Parity: a recorded day, and how functions of a cloud are held to what the local runtime makes of it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulator.checks import failure
from tests.simulator.faults import Fault
from tests.simulator.results import results_of, wrong_in
from tests.simulator.scenario import PARTITIONS, SHARDS, STORIES, Scenario, Story
from tests.simulator.world import CALM, Disturbance, World
from watchkeeper_local.sqlite import open_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DAY = Scenario(tuple(Story(kind, 2 + number % 4, 8) for number, kind in enumerate(STORIES)))
HARD = Disturbance(
    tuple(Fault(143, kind, 3) for _ in range(12) for kind in ("crash", "outage", "rival", "rewind", "conflict")),
    cuts=(1, 7, 64),
    steps=(2, 5),
    copies=4,
)


@functools.cache
def locally() -> Any:
    """What the local runtime makes of it, over SQLite."""
    with tempfile.TemporaryDirectory() as folder:

        def make(receivers: Any, writer: Any) -> Any:
            return open_ports(
                Path(folder), partitions=PARTITIONS, shards=SHARDS, language_model=writer, receivers=receivers
            )

        world = World(make, CALM, transactional=True).run(DAY)
        results = results_of(world, DAY.told())
        world.ports.close()
        return results


def compare(world_of: Callable[..., World], make_ports: Any, disturbance: Disturbance) -> Sequence[str]:
    """Assert that functions come to the same; answers what was made to go wrong."""
    told = DAY.told()
    world = world_of(make_ports, disturbance).run(DAY)
    results = results_of(world, told)
    wrong = wrong_in(world, results, told) + results.differences(locally())
    assert not wrong, failure("the functions", DAY, disturbance, wrong, world.faults.done)
    assert results.alerts
    assert results.dead
    return world.faults.done
