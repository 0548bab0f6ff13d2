"""What a month costs, and what follows from it: switched off in time, and restored exactly."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cost.budget import Budget, month_of, plan, spend_of, stages_that_wait, switches_at
from watchkeeper.cost.prices import LOCAL, PriceBook
from watchkeeper.records import Cutoff, Importance, Spend, Switches

PRICES = PriceBook("test", "2026-11-01", "made up", {"calls": 1.0})
ON = Switches()
OFF = Switches(model_calls=False, refuse=(Importance.LOW,))


def at(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


MID = at("2026-11-16")  # half of the month has passed


def spend(level, month="2026-11", forecast=0.0):
    return Spend(month, 0.0, forecast, 100.0, level, {}, MID)


def level(spent, *, budget=100.0, now=MID):
    return spend_of({"ingest": {"calls": spent}}, Budget(budget, PRICES), now).level


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-01", ("2026-11", "2026-11-01", "2026-11-30", 0.0)),
        ("2026-11-16", ("2026-11", "2026-11-01", "2026-11-30", 0.5)),
        ("2028-02-29T12:00", ("2028-02", "2028-02-01", "2028-02-29", 28.5 / 29)),
        ("2026-12-31T23:59:59.999", ("2026-12", "2026-12-01", "2026-12-31", pytest.approx(1.0))),
    ],
)
def test_a_month_is_that_of_the_calendar_in_utc(now, expected):
    assert month_of(at(now)) == expected


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        (0, "ok"), (49.9, "ok"), (79.9, "warn"), (80, "warn"), (94.9, "warn"), (95, "degrade"), (99.9, "degrade"),
        (100, "cutoff"), (10**6, "cutoff"),
    ],
)  # fmt: skip
def test_eighty_percent_warns_ninety_five_degrades_and_a_hundred_cuts_off(spent, expected):
    assert level(spent) == expected


@pytest.mark.parametrize(
    ("level", "after_h", "expected"),
    [
        ("cutoff", 0, ("a",)), ("cutoff", 23.9, ("a",)), ("cutoff", 24, ()), ("degrade", 0, ()), ("ok", 0, ()),
    ],
)  # fmt: skip
def test_stages_wait_at_a_cutoff_and_no_longer_than_they_may(level, after_h, expected):
    budget = Budget(1.0, PRICES, ("a",), 24 * 3_600_000)
    assert stages_that_wait(Cutoff(level, MID), budget, MID + round(after_h * 3_600_000)) == expected


def test_a_runtime_that_can_stop_nothing_stops_nothing():
    assert stages_that_wait(Cutoff("cutoff", MID), Budget(1.0, PRICES), MID) == ()


def test_a_forecast_only_warns():
    assert level(50) == "warn"  # twice that by the end of the month
    assert spend_of({"a": {"calls": 50}}, Budget(100, PRICES), MID).forecast == pytest.approx(100)
    assert level(94) == "warn"
    assert level(9, now=at("2026-11-03")) == "ok"  # after two days the pace says nothing yet


def test_without_a_budget_nothing_is_too_much():
    assert level(10**9, budget=0) == "ok"


def test_what_was_used_is_priced_by_stage_and_what_has_no_price_is_free():
    totals = {"rag_explain": {"prompt_tokens": 2_000_000, "messages": 5}, "ingest": {"messages": 9}}
    reckoned = spend_of(totals, Budget(1.0, LOCAL), MID)
    assert reckoned.per_stage == {"ingest": 0.0, "rag_explain": pytest.approx(0.30)}
    assert reckoned.spent == pytest.approx(0.30)
    assert (reckoned.month, reckoned.budget) == ("2026-11", 1.0)


def test_a_core_that_is_busy_all_month_costs_what_its_electricity_does():
    month_us = 30 * 86_400 * 1e6
    assert LOCAL.cost({"busy_us": month_us}) == pytest.approx(0.065 * 24 * 30 * 0.30)


def test_degrading_stops_model_calls_and_cutting_off_refuses_devices_of_low_importance_too():
    assert switches_at("warn", ON) == ON
    assert switches_at("degrade", ON) == Switches(model_calls=False)
    assert switches_at("cutoff", ON) == OFF
    assert switches_at("cutoff", OFF) == OFF
    assert switches_at("ok", OFF) == OFF


def test_nothing_is_planned_while_nothing_changes():
    current = plan(Cutoff(), spend("degrade"), 1)
    assert plan(current, spend("degrade"), 2) is current


def test_what_is_switched_off_remembers_how_it_was_until_it_is_so_again():
    cut = plan(plan(Cutoff(), spend("warn"), 1), spend("cutoff"), 2)
    assert (cut.now, cut.before, cut.level, cut.since) == (OFF, ON, "cutoff", 2)
    back = plan(cut, spend("ok"), 3)
    assert (back.now, back.before, back.alert) == (ON, None, "")
    assert cut.alert in back.ended


def test_a_new_month_begins_anew_though_the_level_is_the_same():
    cut = plan(Cutoff(), spend("cutoff"), 1)
    again = plan(cut, spend("cutoff", month="2026-12"), 2)
    assert again.alert != cut.alert
    assert (again.now, again.before) == (OFF, ON)
    assert again.ended == (cut.alert,)


def test_a_forecast_about_as_high_as_the_budget_warns_once():
    current = plan(Cutoff(), spend("warn", forecast=101), 1)
    for now, forecast in enumerate((99.0, 101.0, 95.0, 90.0), start=2):
        assert plan(current, spend("warn" if forecast >= 100 else "ok", forecast=forecast), now) is current
    assert plan(current, spend("ok", forecast=89.9), 9).level == "ok"
    assert plan(current, spend("ok", month="2026-12", forecast=0.0), 9).level == "ok"


switches = st.builds(
    Switches, model_calls=st.booleans(), refuse=st.lists(st.sampled_from(list(Importance)), unique=True).map(tuple)
)
step = st.tuples(
    st.sampled_from(["ok", "warn", "degrade", "cutoff"]),
    st.sampled_from(["2026-11", "2026-12"]),
    st.sampled_from([0.0, 95.0]),
)


@given(initial=switches, steps=st.lists(step, max_size=12))
def test_whatever_happens_in_between_the_end_restores_what_was_before(initial, steps):
    current = Cutoff(now=initial)
    for now, (name, month, forecast) in enumerate(steps, start=1):
        current = plan(current, spend(name, month, forecast), now)
        held = current.before or current.now
        assert held == initial
        assert current.now == switches_at(current.level, initial)
        if name in ("degrade", "cutoff"):
            assert not current.now.model_calls
        if name == "cutoff":
            assert Importance.LOW in current.now.refuse
    end = plan(current, spend("ok"), 99)
    assert end.now == initial
    assert end.before is None
