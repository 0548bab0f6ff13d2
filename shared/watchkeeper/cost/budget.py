"""What a month has cost, what it will have cost at this pace, and what follows from it: computed purely."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from watchkeeper.ids import timed_id
from watchkeeper.records import Cutoff, Importance, Spend, Switches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.cost.prices import PriceBook

Level = Literal["ok", "warn", "degrade", "cutoff"]
WARN, DEGRADE, CUTOFF = 0.80, 0.95, 1.00
FORECAST_AFTER = 0.10  # of the month: before, the pace says too little
CALM = 0.90  # of the budget: a forecast that has warned must fall below it before the warning is over
ENDED_KEPT = 8  # alerts that are over, until notify has heard so


class Budget(msgspec.Struct, frozen=True):
    """Dollars a month; 0: no budget. And what they are reckoned with.

    `waits` are the stages that the runtime stops at a cutoff, for `waits_ms` at most: what waits must be taken before
    the stream forgets it. A runtime that can stop none has none.
    """

    monthly_usd: float
    prices: PriceBook
    waits: tuple[str, ...] = ()
    waits_ms: int = 0


def month_of(now: int) -> tuple[str, str, str, float]:
    """The month (`2026-11`), its first and last day (ISO dates), and the share of it that has passed; epoch ms, UTC."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    days = calendar.monthrange(moment.year, moment.month)[1]
    month = f"{moment:%Y-%m}"
    began = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    passed = (moment - began).total_seconds() / (days * 86_400)
    return month, f"{month}-01", f"{month}-{days:02d}", passed


def spend_of(totals: Mapping[str, Mapping[str, float]], budget: Budget, now: int) -> Spend:
    """What has been spent, by stage, and the level it has reached. A forecast warns; what is spent cuts off."""
    month, _, _, passed = month_of(now)
    per_stage = {stage: budget.prices.cost(amounts) for stage, amounts in sorted(totals.items())}
    spent = sum(per_stage.values())
    forecast = spent / passed if passed >= FORECAST_AFTER else spent
    level = _level(spent, forecast, budget.monthly_usd)
    return Spend(month, spent, forecast, budget.monthly_usd, level, per_stage, now)


def _level(spent: float, forecast: float, monthly: float) -> Level:
    if monthly <= 0:
        return "ok"
    share = spent / monthly
    if share >= CUTOFF:
        return "cutoff"
    if share >= DEGRADE:
        return "degrade"
    return "warn" if share >= WARN or forecast >= monthly else "ok"


def switches_at(level: Level, before: Switches) -> Switches:
    """What is switched off at a level, starting from how things were before any of it."""
    if level == "cutoff":
        return Switches(model_calls=False, refuse=tuple(dict.fromkeys((*before.refuse, Importance.LOW))))
    if level == "degrade":
        return Switches(model_calls=False, refuse=before.refuse)
    return before


def stages_that_wait(cutoff: Cutoff, budget: Budget, now: int) -> tuple[str, ...]:
    """The stages that must not run now."""
    waiting = cutoff.level == "cutoff" and now - cutoff.since < budget.waits_ms
    return budget.waits if waiting else ()


def plan(current: Cutoff, spend: Spend, now: int) -> Cutoff:
    """What should be switched off now; `before` keeps how things were until they are exactly so again."""
    level = spend.level
    if level == "ok" and current.level == "warn" and spend.forecast >= CALM * spend.budget > 0:
        level = "warn"  # a pace about as high as the budget would warn again and again
    if level == current.level and spend.month == current.month:
        return current
    before = current.before or current.now
    switched = switches_at(level, before)
    return Cutoff(
        level,
        now,
        spend.month,
        switched,
        before if switched != before else None,
        alert="" if level == "ok" else timed_id(now, "budget", spend.month, level),
        ended=(*current.ended, current.alert)[-ENDED_KEPT:] if current.alert else current.ended,
    )
