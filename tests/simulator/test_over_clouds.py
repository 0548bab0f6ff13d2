"""The same whatever goes wrong, over the adapters of each cloud, by their real protocols.

SIMULATOR_CLOUD_EXAMPLES=50 looks deeper.
"""

import os

from hypothesis import HealthCheck, given, settings

from tests.simulator.checks import hold
from tests.simulator.faults import Fault
from tests.simulator.scenario import Scenario, Story
from tests.simulator.strategies import disturbances, scenarios
from tests.simulator.world import Disturbance

EXAMPLES = int(os.environ.get("SIMULATOR_CLOUD_EXAMPLES", "1"))
BUSY = Scenario((Story("dips", 0, 6), Story("by http", 4, 4)))


def test_over_a_cloud_nothing_is_lost_doubled_or_changed(make_stack_ports):
    kinds = ("crash", "rival", "conflict", "rewind", "outage")
    faults = tuple(Fault(61, kind, 3) for _ in range(3) for kind in kinds)
    hold(make_stack_ports, BUSY, Disturbance(faults, cuts=(5, 50), steps=(3,), copies=3))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenarios, disturbances)
def test_over_a_cloud_what_hypothesis_thinks_of_changes_nothing(make_stack_ports, scenario, disturbance):
    hold(make_stack_ports, scenario, disturbance)
