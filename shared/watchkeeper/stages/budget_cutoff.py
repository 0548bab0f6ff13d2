"""budget_cutoff: reckons what the month has cost, warns, and switches off what can be spared in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.cost.budget import WARN, month_of, plan, spend_of, stages_that_wait
from watchkeeper.explaining.report import CITED, sources_of
from watchkeeper.outcome import ABSENT, Emit, Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import DEFAULT_TENANT, Alert, Cutoff, Report, Severity, Spend
from watchkeeper.topology import ALERTS, CUTOFFS, DASHBOARD_ALERTS, SPEND

if TYPE_CHECKING:
    from watchkeeper.context import Context

RUNBOOK = "budget-cutoff.md"
SELF = "watchkeeper"
SEVERITIES = {"warn": Severity.WARNING, "degrade": Severity.CRITICAL, "cutoff": Severity.EMERGENCY}


def check_budget(ctx: Context) -> Outcome:
    """The timer: what was used times what it costs, what follows from it, and that people know."""
    outcome = Outcome()
    month, first, last, _ = month_of(ctx.now)
    spend = spend_of(ctx.meter.total(first, last), ctx.budget, ctx.now)
    outcome.puts.append(Put(SPEND, month, "-", spend))
    current, version = ctx.get_many(CUTOFFS, [CURRENT_CUTOFF], Cutoff).get(CURRENT_CUTOFF, (Cutoff(), ABSENT))
    planned = plan(current, spend, ctx.now)
    if planned != current:
        outcome.puts.append(Put(CUTOFFS, *CURRENT_CUTOFF, planned, version))
        outcome.counts["budget_changes"] += 1
    _announce(planned, spend, ctx, outcome)
    return outcome


def _announce(cutoff: Cutoff, spend: Spend, ctx: Context, outcome: Outcome) -> None:
    """Say what notify does not know yet: asked each time, so that a crash after the switch cannot keep it quiet.

    What is said again is the same to the letter, so that nobody is told twice.
    """
    keys = [Key(DEFAULT_TENANT, name) for name in (cutoff.alert, *cutoff.ended) if name]
    known = {key.sort: alert for key, (alert, _) in ctx.get_many(ALERTS, keys, Alert).items()}
    for ended in (known[name] for name in cutoff.ended if name in known):
        if ended.status != "resolved":
            over = msgspec.structs.replace(ended, status="resolved", ts=cutoff.since, resolved=cutoff.since)
            outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, over))
    if cutoff.alert and cutoff.alert not in known:
        outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, _alert(cutoff, spend, ctx)))


def _alert(cutoff: Cutoff, spend: Spend, ctx: Context) -> Alert:
    share = spend.spent / spend.budget
    title = f"{share:.0%} of the budget of {spend.month} is spent ({spend.spent:.2f} of {spend.budget:.2f} USD)"
    if cutoff.level == "warn" and share < WARN:
        title = f"At this pace {spend.month} will cost {spend.forecast:.2f} of {spend.budget:.2f} USD"
    severity = SEVERITIES[cutoff.level]
    runbook = ctx.bundle.library.runbook(RUNBOOK)
    report = Report(
        episode=cutoff.alert,
        tenant=DEFAULT_TENANT,
        device=SELF,
        ts=cutoff.since,
        what=f"{title}. {_effect(cutoff, ctx)}",
        confidence=1.0,
        causes=runbook.causes if runbook else (),
        steps=runbook.steps if runbook else (),
        sources=sources_of(runbook.passages[:CITED] if runbook else ()),
        severity=severity,
        category="operations",
    )
    return Alert(
        id=cutoff.alert,
        tenant=DEFAULT_TENANT,
        site="",
        device=SELF,
        device_class=SELF,
        detector="budget",
        status="firing",
        severity=severity,
        title=title,
        opened=cutoff.since,
        ts=cutoff.since,
        received=cutoff.since,
        category="operations",
        report=report,
    )


def _effect(cutoff: Cutoff, ctx: Context) -> str:
    off = [] if cutoff.now.model_calls else ["language model calls"]
    off += [f"readings of devices of {importance} importance" for importance in cutoff.now.refuse]
    hours = ctx.budget.waits_ms / 3_600_000
    off += [f"{stage}, for {hours:g} hours at most" for stage in stages_that_wait(cutoff, ctx.budget, cutoff.since)]
    return f"Switched off: {', '.join(off)}." if off else "Nothing is switched off yet."
