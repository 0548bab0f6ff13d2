"""The roster answers for each device of a pack what the catalogue, the rules and the state would, one by one."""

import pytest

from watchkeeper.checking.roster import Roster
from watchkeeper.checking.state import CHECK_CODEC, CheckState
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.records import Device

RULES = """
applies_to: pump
rules:
- {id: hot, metric: a, above: 6, sites: [north], severity: info, summary: Hot, runbook: r.md}
- {id: low, metric: a, below: 1, severity: info, summary: Low, runbook: r.md}
"""
RUNBOOK = (
    "---\ntitle: T\napplies_to: [pump]\ncategory: operations\nsignals: [a]\n---\n## What it looks like\nX.\n"
    "## Likely causes\n- X\n## What to do\n1. X\n## When it is over\nX.\n"
)
BUNDLE = Bundle.from_files({
    "devices/pump.yaml": "class: pump\nmatch: [pump-*]\ntime_zone: Europe/Oslo\nmetrics: {a: {}}\n",
    "devices/fan.yaml": "class: fan\nmatch: [fan-*]\nmetrics: {a: {}}\n",
    "rules/pump.yaml": RULES,
    "runbooks/r.md": RUNBOOK,
})  # fmt: skip
NORTH, SOUTH, FAN = (
    Device("t", "pump-1", "north"),
    Device("t", "pump-1", "south"),
    Device("t", "fan-1"),
)


def test_devices_have_the_rules_zone_and_class_of_their_site_and_one_slot_at_all_sites() -> None:
    state, roster = CheckState(), Roster(BUNDLE)
    roster.find(state, [FAN])
    here = roster.find(state, [NORTH, FAN, SOUTH, NORTH])
    assert here.slots.tolist() == [1, 0, 1, 1]
    assert [[rule.id for rule in here.of(n).group.rules] for n in range(4)] == [
        ["hot", "low"],
        [],
        ["low"],
        ["hot", "low"],
    ]
    assert [here.of(n).class_name for n in range(4)] == ["pump", "fan", "pump", "pump"]
    assert here.of(0).zone == "Europe/Oslo" != here.of(1).zone


def test_a_device_is_where_it_was_listed_last_also_in_a_state_that_was_stored() -> None:
    state, roster = CheckState(), Roster(BUNDLE)

    def after(*devices: Device) -> str:
        roster.settle(state, roster.find(state, devices), devices)
        return state.devices[0].site

    assert after(NORTH) == "north"
    assert after(NORTH, SOUTH) == "south"
    assert after(NORTH, SOUTH) == "south"
    assert after(SOUTH, NORTH) == "north"
    assert after(NORTH) == "north"
    state, roster = CHECK_CODEC.decode(CHECK_CODEC.encode(state)), Roster(BUNDLE)
    assert after(FAN) == "north"
    assert after(SOUTH, FAN) == "south"


def test_a_device_with_ever_new_sites_is_remembered_at_the_latest_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchkeeper.checking.roster.MANY", 5)
    state, roster = CheckState(), Roster(BUNDLE)
    for number in range(30):
        devices = [FAN, NORTH, Device("t", "pump-1", f"site-{number}")]
        here = roster.find(state, devices)
        roster.settle(state, here, devices)
        assert here.slots.tolist() == [0, 1, 1]
        assert [len(here.of(place).group.rules) for place in range(3)] == [0, 2, 1]
        assert state.devices[1].site == f"site-{number}"
        assert here.place.max() < 15
