"""A cutoff stops the mappings of stages that may wait, and gives back exactly what it took."""

import json
import time

import msgspec
import pytest

from tests.emulators.aws import REGION
from tests.emulators.interference import AWAY
from tests.emulators.mappings import Mappings
from tests.lambdas.events import event
from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.pipeline import MAY_WAIT
from watchkeeper.ports import Key
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import Cutoff
from watchkeeper.topology import CUTOFFS
from watchkeeper_aws.cutoff import RESTORE, MappingCutoff, Restore
from watchkeeper_aws.services import client

HOUR_MS = 3_600_000
NOW = int(time.time() * 1000)
BUDGET = Budget(100.0, LOCAL, MAY_WAIT, 24 * HOUR_MS)
FUNCTION = "wk-ml_score:live"
M1, M2, M3, S1 = (f"14e0db71-5d35-4eb5-b481-8945cf9d10c{n}" for n in range(4))


@pytest.fixture
def mappings(stack):
    made = Mappings(dict.fromkeys((M1, M2, M3), FUNCTION) | {S1: "wk-store:live"})
    stack.between.plan = made
    yield made
    for key in (CURRENT_CUTOFF, RESTORE):
        stack.ports.tables.put(CUTOFFS.name, Key(*key), b"{}")


@pytest.fixture
def cutoff(stack, mappings):
    speaks = client("lambda", region=REGION, endpoint=stack.environment["AWS_ENDPOINT_URL"], tries=1)
    return MappingCutoff(speaks, stack.ports.tables, {"ml_score": FUNCTION})


def level(stack, level, since=NOW):
    stack.ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, msgspec.json.encode(Cutoff(level, since)))


def noted(stack):
    return msgspec.json.decode(stack.ports.tables.get_many(CUTOFFS.name, [RESTORE])[RESTORE].value, type=Restore)


def states(mappings):
    mappings.settle()
    return {uuid for uuid, state in mappings.state.items() if state == "Enabled"}


def test_a_cutoff_stops_who_may_wait_and_its_end_brings_them_back(stack, mappings, cutoff):
    level(stack, "degrade")
    cutoff.follow(BUDGET, NOW)
    assert mappings.changes == []
    level(stack, "cutoff")
    for _ in range(2):
        cutoff.follow(BUDGET, NOW)
        assert states(mappings) == {S1}
    assert len(mappings.changes) == 3
    level(stack, "warn", NOW + 1)
    for _ in range(2):
        cutoff.follow(BUDGET, NOW)
        assert states(mappings) == {M1, M2, M3, S1}
    assert len(mappings.changes) == 6
    assert noted(stack) == Restore()


def test_what_waits_is_taken_before_the_stream_forgets_it(stack, mappings, cutoff):
    level(stack, "cutoff")
    cutoff.follow(BUDGET, NOW + 24 * HOUR_MS - 1)
    assert states(mappings) == {S1}
    for _ in range(2):
        cutoff.follow(BUDGET, NOW + 24 * HOUR_MS)
        assert M1 in states(mappings)
    assert len(mappings.changes) == 6


def test_what_somebody_had_disabled_stays_so(stack, mappings, cutoff):
    mappings.state[M2] = "Disabled"
    level(stack, "cutoff")
    cutoff.follow(BUDGET, NOW)
    mappings.settle()
    level(stack, "ok")
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == {M1, M3, S1}
    assert M2 not in dict(mappings.changes)


def test_what_somebody_enables_during_a_cutoff_is_theirs(stack, mappings, cutoff):
    level(stack, "cutoff")
    cutoff.follow(BUDGET, NOW)
    mappings.settle()
    mappings.state[M1] = "Enabled"
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == {M1, S1}


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("then", ["cutoff", "ok"])
def test_a_crash_between_the_record_and_the_changes_loses_nothing(stack, mappings, cutoff, after, then):
    def crash(asked):
        return AWAY if asked.method == "PUT" and len(mappings.changes) >= after else mappings(asked)

    stack.between.plan = crash
    level(stack, "cutoff")
    with pytest.raises(Unavailable):
        cutoff.follow(BUDGET, NOW)
    assert noted(stack).mappings == dict.fromkeys((M1, M2, M3), "stopping")
    assert len(mappings.changes) == after
    stack.between.plan = mappings
    mappings.settle()
    level(stack, then)
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == ({S1} if then == "cutoff" else {M1, M2, M3, S1})
    level(stack, "ok")
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == {M1, M2, M3, S1}


def test_a_crash_while_restoring_is_gone_on_with(stack, mappings, cutoff):
    level(stack, "cutoff")
    cutoff.follow(BUDGET, NOW)
    level(stack, "ok")
    with pytest.raises(Unavailable, match="ResourceInUse"):
        cutoff.follow(BUDGET, NOW)  # they are still being disabled
    mappings.settle()
    stack.between.plan = lambda asked: AWAY if asked.method == "PUT" and len(mappings.changes) == 4 else mappings(asked)
    with pytest.raises(Unavailable):
        cutoff.follow(BUDGET, NOW)
    stack.between.plan = mappings
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == {M1, M2, M3, S1}


def test_a_mapping_that_was_replaced_meanwhile_holds_nothing_up(stack, mappings, cutoff):
    level(stack, "cutoff")
    cutoff.follow(BUDGET, NOW)
    mappings.settle()
    del mappings.state[M1], mappings.function[M1]
    level(stack, "ok")
    cutoff.follow(BUDGET, NOW)
    assert states(mappings) == {M2, M3, S1}


class Spoilt:
    """Tables on which the restore record cannot be relied on."""

    def __init__(self, tables, how):
        self.tables, self.how, self.get_many = tables, how, tables.get_many

    def put(self, *asked):
        if self.how == "another was quicker":
            raise Conflict(self.how)
        return "a version"  # and nothing is written


@pytest.mark.parametrize(("how", "error"), [("another was quicker", Conflict), ("nothing is kept", Unavailable)])
def test_without_a_restore_record_nothing_is_changed(stack, mappings, cutoff, how, error):
    level(stack, "cutoff")
    cutoff._tables = Spoilt(stack.ports.tables, how)
    with pytest.raises(error):
        cutoff.follow(BUDGET, NOW)
    assert mappings.changes == []


def test_a_function_without_a_mapping_is_a_wrong_name(stack, mappings, cutoff):
    mappings.function = dict.fromkeys(mappings.function, "another")
    level(stack, "cutoff")
    with pytest.raises(Unavailable, match="has no event source mapping"):
        cutoff.follow(BUDGET, NOW)


# --- in the function ------------------------------------------------------------------------------------------------


def test_the_bill_stops_the_mappings_and_people_restore_them(stack, mappings):
    told = {"WATCHKEEPER_WAITING_HOURS": "24", "WATCHKEEPER_WAITING_FUNCTIONS": json.dumps({"ml_score": FUNCTION})}
    budget = stack.function("budget_cutoff", WATCHKEEPER_BUDGET="1", **told)
    assert budget.invoke(event("sns_budget")).value() == {"ticked": 1, "waiting": 0}
    assert states(mappings) == {S1}
    assert budget.invoke({"command": "restore"}).value() == {"restored": f"{M1}, {M2}, {M3}"}
    assert states(mappings) == {M1, M2, M3, S1}
    budget.invoke({"timer": "budget_cutoff"}).value()  # the cutoff is still in force, and stops them no more
    assert states(mappings) == {M1, M2, M3, S1}


def test_only_budget_cutoff_restores_and_a_stage_without_a_function_is_said(stack):
    assert stack.invoke("store", {"command": "restore"}).body["errorType"] == "ConfigError"
    answer = stack.function("budget_cutoff", WATCHKEEPER_WAITING_HOURS="24").invoke({"timer": "budget_cutoff"})
    assert "WAITING_FUNCTIONS does not name the function of ml_score" in answer.body["errorMessage"]
