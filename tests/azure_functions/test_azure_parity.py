"""Parity: a recorded day through the functions on Azure comes to the records of the local runtime, and of AWS."""

import pytest

from tests.azure_functions.azure_world import AzureWorld
from tests.emulators.functions_worker import MISSING
from tests.simulator.checks import in_memory
from tests.simulator.parity import HARD, STEADY, compare, plant, sees_all
from watchkeeper_azure import event_hub_events

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_recorded_day_through_event_hubs_cosmos_db_and_blobs_is_what_the_local_runtime_makes_of_it(
    make_hosted_ports,
):
    world = compare(AzureWorld, make_hosted_ports, STEADY)
    assert sees_all(plant(world))


def test_that_holds_with_functions_that_die_and_services_that_are_away():
    happened = compare(AzureWorld, in_memory, HARD).faults.done
    assert {kind.split()[0] for kind in happened} == {"crash", "outage", "rival", "rewind", "conflict"}
    assert len(happened) > 40


def test_the_comparison_sees_what_a_function_loses(monkeypatch):
    monkeypatch.setattr(event_hub_events, "DEVICE", "iothub-connection-module-id")
    with pytest.raises(AssertionError, match="the functions went wrong"):
        compare(AzureWorld, in_memory, STEADY)
