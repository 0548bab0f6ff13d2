"""Parity: a recorded day through the functions on Azure comes to the records of the local runtime, and of AWS."""

import pytest

from tests.azure_functions.azure_world import AzureWorld
from tests.emulators.functions_worker import MISSING
from tests.simulator.parity import HARD, compare
from tests.simulator.scenario import PARTITIONS
from tests.simulator.world import CALM
from watchkeeper.memory import memory_ports
from watchkeeper_azure import event_hub_events

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def in_memory(receivers, writer):
    return memory_ports(PARTITIONS, language_model=writer, receivers=receivers)


def test_a_recorded_day_through_the_functions_is_what_the_local_runtime_makes_of_it():
    compare(AzureWorld, in_memory, CALM)


def test_that_holds_with_functions_that_die_and_services_that_are_away():
    happened = compare(AzureWorld, in_memory, HARD)
    assert {kind.split()[0] for kind in happened} == {"crash", "outage", "rival", "rewind", "conflict"}
    assert len(happened) > 40


def test_the_comparison_sees_what_a_function_loses(monkeypatch):
    monkeypatch.setattr(event_hub_events, "DEVICE", "iothub-connection-module-id")
    with pytest.raises(AssertionError, match="the functions went wrong"):
        compare(AzureWorld, in_memory, CALM)
