"""Parity: a recorded day, and how functions of a cloud are held to what the local runtime makes of it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.simulator.checks import failure
from tests.simulator.faults import Fault
from tests.simulator.results import Results, results_of, wrong_in
from tests.simulator.scenario import PARTITIONS, SHARDS, START, STORIES, TOO_LONG, Scenario, Story
from tests.simulator.views import differences, view_of
from tests.simulator.world import Disturbance, World
from watchkeeper.ports import Message
from watchkeeper.records import DEFAULT_TENANT, DeadLetter
from watchkeeper.states import state_key
from watchkeeper.topology import ALERTS, DEAD_LETTER, REPORTS, RULE_CHECK_OUTPUT
from watchkeeper_local.sqlite import open_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

DAY = Scenario(tuple(Story(kind, 2 + number % 4, 8) for number, kind in enumerate([*STORIES, *TOO_LONG])))
STEADY = Disturbance(steps=(1,))
"""Nothing goes wrong, and who has nothing to do is asked once a round: what is taken, and when, is as if he were asked
eight times."""
HARD = Disturbance(
    tuple(Fault(143, kind, 3) for _ in range(12) for kind in ("crash", "outage", "rival", "rewind", "conflict")),
    cuts=(1, 7, 64),
    steps=(2, 5),
    copies=4,
)


@functools.cache
def locally() -> tuple[Results, dict[str, Any]]:
    """What the local runtime makes of it, over SQLite: what becomes of it in any case, and how it is seen."""
    with tempfile.TemporaryDirectory() as folder:

        def make(receivers: Any, writer: Any) -> Any:
            return open_ports(
                Path(folder), partitions=PARTITIONS, shards=SHARDS, language_model=writer, receivers=receivers
            )

        world = World(make, STEADY, transactional=True).run(DAY)
        results, view = results_of(world, DAY.told()), view_of(world)
        world.ports.close()
        return results, view


def compare(world_of: Callable[..., World], make_ports: Any, disturbance: Disturbance) -> World:
    """Assert that functions come to the same; answers their world.

    Where nothing was made to go wrong, to the letter; else in all that does not depend on when something was done.
    """
    results, view = locally()
    told = DAY.told()
    world = world_of(make_ports, disturbance).run(DAY)
    found = results_of(world, told)
    wrong = wrong_in(world, found, told) + found.differences(results)
    if disturbance is STEADY:
        wrong += differences(view_of(world), view)
    assert not wrong, failure("the functions", DAY, disturbance, wrong, world.faults.done)
    return world


def plant(world: World) -> list[str]:
    """Change something in each store of what functions have left behind; answers how the comparison sees it.

    A report says something else, an alert is gone, a segment and a state are others', and a letter more is dead.
    """
    tables, blobs = world.ports.tables, world.ports.blobs
    report = tables.query(REPORTS.name, DEFAULT_TENANT, limit=1)[0]
    tables.put(REPORTS.name, report.key, report.value.replace(b'"what":"', b'"what":"Perhaps: '))
    tables.delete(ALERTS.name, tables.query(ALERTS.name, DEFAULT_TENANT, limit=1)[0].key)
    one, other = (state_key("ml_score", RULE_CHECK_OUTPUT.name, shard) for shard in (0, 1))
    for here, there in ((one, other), blobs.list("segments/00001/")[:2]):
        blobs.put(here, blobs.get_many([there])[there].data)
    letter = DeadLetter("planted", "store", "somebody else's", b"", START)
    world.ports.stream.append(DEAD_LETTER.name, [Message(0, msgspec.json.encode(letter))])
    return differences(view_of(world), locally()[1])


SEEN = ("/api/alerts", "/api/anomalies", "dead letter planted", "state/ml_score/rule-check-output/00000")


def sees_all(lines: Sequence[str]) -> bool:
    """Whether each thing that was planted is among the differences."""
    series = any(line.startswith("/api/devices/") and "/series?" in line for line in lines)
    return series and all(any(line.startswith(place) for line in lines) for place in SEEN)
