"""budget_cutoff: what was used is reckoned, people are told once, and what is switched off stops and comes back."""

import json
from datetime import UTC, datetime

import pytest

from tests.unit.stages.driving import DAY, MINUTE, NOW, SECOND, Drive, changed
from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.memory import MemoryReceiver, memory_ports
from watchkeeper.outcome import RawMessage
from watchkeeper.published import CURRENT_CUTOFF, current_cutoff
from watchkeeper.records import Importance, Severity, Switches
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION, CUTOFFS, DASHBOARD_ALERTS, SPEND

TOKEN = LOCAL.per_unit["completion_tokens"]
TOY = "class: toy\nmatch: ['toy-*']\nimportance: low\n"


class World:
    """The budget's timer and notify over the same ports; `use` is what the month costs."""

    def __init__(self, budget=100.0, model=None):
        self.receiver = MemoryReceiver()
        self.ports = memory_ports(1, language_model=model, receivers={"memory": self.receiver})
        self.budget = Drive("budget_cutoff", self.ports, budget=budget)
        self.notify = Drive("notify", self.ports)

    def use(self, dollars):
        day = datetime.fromtimestamp(self.budget.now / 1000, UTC).date().isoformat()
        self.ports.meter.add(day, "rag_explain", {"completion_tokens": dollars / TOKEN})

    def tick(self, after=15 * SECOND):
        self.budget.tick(after=after)
        self.notify.now = self.budget.now

    def pass_on(self):
        self.notify.take()

    def step(self, dollars=0.0):
        self.use(dollars)
        self.tick()
        self.pass_on()

    @property
    def cutoff(self):
        return current_cutoff(self.ports.tables)

    @property
    def said(self):
        return [(a.status, a.severity) for a in self.receiver.alerts]


@pytest.fixture
def world():
    return World()


def test_what_the_month_costs_is_kept_by_stage(world):
    world.step(12.5)
    spend = world.budget.row(SPEND, "2026-11", "-")
    assert (spend.spent, spend.level, spend.budget) == (pytest.approx(12.5), "ok", 100.0)
    assert spend.per_stage["rag_explain"] == pytest.approx(12.5)
    assert world.receiver.alerts == []


def test_what_other_months_have_cost_does_not_count(world):
    world.ports.meter.add("2026-10-31", "rag_explain", {"completion_tokens": 500 / TOKEN})
    world.step()
    assert world.cutoff.level == "ok"


def test_each_level_is_said_once_ends_the_one_before_and_names_what_it_does(world):
    for dollars in (80, 0, 15, 0, 5, 0):
        world.step(dollars)
    warning, critical, emergency = Severity.WARNING, Severity.CRITICAL, Severity.EMERGENCY
    firing = [(a.severity, a.title[:3]) for a in world.receiver.alerts if a.status == "firing"]
    assert firing == [(warning, "80%"), (critical, "95%"), (emergency, "100")]
    ended = [a.severity for a in world.receiver.alerts if a.status == "resolved"]
    assert ended == [warning, critical]
    what = [a.report.what.split(". ")[-1] for a in world.receiver.alerts if a.status == "firing"]
    assert what == [
        "Nothing is switched off yet.", "Switched off: language model calls.",
        "Switched off: language model calls, readings of devices of low importance.",
    ]  # fmt: skip
    assert {s.file for a in world.receiver.alerts if a.report for s in a.report.sources} == {"budget-cutoff.md"}


def test_a_pace_that_is_too_high_warns_of_the_month_to_come():
    world = World(budget=100)
    world.step(60)  # on the 18th
    [alert] = world.receiver.alerts
    assert (alert.severity, alert.detector) == (Severity.WARNING, "budget")
    assert alert.title.startswith("At this pace 2026-11 will cost 1")
    assert world.cutoff.now == Switches()


def test_nobody_is_told_twice_while_notify_is_behind(world):
    world.use(80)
    for _ in range(5):
        world.tick()
    world.pass_on()
    world.use(20)
    for _ in range(5):
        world.tick()
    world.pass_on()
    warning, emergency = Severity.WARNING, Severity.EMERGENCY
    assert sorted(world.said) == [("firing", warning), ("firing", emergency), ("resolved", warning)]


def test_levels_that_pass_while_notify_is_behind_are_all_ended_in_the_end(world):
    for dollars in (80, 15, 5):
        world.use(dollars)
        world.tick()
    for _ in range(3):
        world.pass_on()
        world.tick()
    fired = {a.id for a in world.receiver.alerts if a.status == "firing"}
    ended = {a.id for a in world.receiver.alerts if a.status == "resolved"}
    assert fired - ended == {world.cutoff.alert}
    assert len(fired) == 3


def test_a_crash_between_the_switch_and_the_announcement_still_announces(world):
    world.use(100)
    with world.budget.crash_at("stream", "append"):
        world.tick()
    assert world.cutoff.level == "cutoff"
    assert world.budget.came(DASHBOARD_ALERTS) == []
    world.step()
    assert world.said == [("firing", Severity.EMERGENCY)]


@pytest.mark.parametrize("how", ["a new month", "a greater budget", "no budget"])
def test_what_was_switched_off_is_restored_exactly_and_the_alert_ends(world, how):
    world.step(120)
    assert world.cutoff.now == Switches(model_calls=False, refuse=(Importance.LOW,))
    assert world.cutoff.before == Switches()
    if how == "a new month":
        world.budget.now += 13 * DAY
    else:
        world.budget.published.budget = Budget(1000.0 if how == "a greater budget" else 0.0, LOCAL)
    world.step()
    assert (world.cutoff.level, world.cutoff.now, world.cutoff.before) == ("ok", Switches(), None)
    assert world.said == [("firing", Severity.EMERGENCY), ("resolved", Severity.EMERGENCY)]
    assert world.receiver.alerts[1].resolved == world.cutoff.since
    world.step()
    assert len(world.said) == 2


def test_the_alert_says_what_waits_and_for_how_long_at_most(world):
    world.budget.published.budget = Budget(100.0, LOCAL, ("ml_score",), 24 * 3_600_000)
    world.step(120)
    (alert,) = world.receiver.alerts
    assert "ml_score, for 24 hours at most" in alert.report.what


def test_the_switches_are_written_only_when_they_change(world):
    world.step(100)
    version = world.ports.tables.get_many(CUTOFFS.name, [CURRENT_CUTOFF])[CURRENT_CUTOFF].version
    for _ in range(3):
        assert world.budget.tick(after=MINUTE)["budget_changes"] == 0
    assert world.ports.tables.get_many(CUTOFFS.name, [CURRENT_CUTOFF])[CURRENT_CUTOFF].version == version


def test_two_timers_at_once_switch_once(world):
    other = Drive("budget_cutoff", world.ports, budget=100.0)
    world.use(100)
    world.tick()
    other.now = world.budget.now
    other.tick()
    world.pass_on()
    assert world.said == [("firing", Severity.EMERGENCY)]


class Model:
    def complete(self, system, prompt, schema):
        raise AssertionError


def test_at_the_cutoff_model_calls_stop_and_readings_of_low_importance_are_refused_and_both_come_back():
    world = World(model=Model())
    ingest = Drive("ingest", world.ports, bundle=changed(devices__toy=TOY))

    def send():
        ingest.now = world.budget.now + MINUTE
        receipts = []
        body = json.dumps([{"device": device, "values": {"a": 1}} for device in ("toy-1", "pump-1")]).encode()

        def decide(ctx):
            outcome, made = admit([RawMessage(body, NOW, "default", request="r")], BATCH_DATA_INGESTION, ctx)
            receipts.extend(made)
            return outcome

        ingest.runner.request(decide)
        return receipts[0].accepted, receipts[0].shed

    explain = Drive("rag_explain", world.ports)

    def may_call():
        explain.now = world.budget.now + 2 * MINUTE
        return explain.runner._context({}).may_call_model

    assert (send(), may_call()) == ((2, 0), True)
    world.step(96)
    assert (send(), may_call()) == ((2, 0), False)
    world.step(10)
    assert (send(), may_call()) == ((1, 1), False)
    world.budget.published.budget = Budget(10_000.0, LOCAL)
    world.budget.now += 10 * MINUTE
    world.step()
    assert (send(), may_call()) == ((2, 0), True)
