"""watch: says that the pipeline itself is silent, and that it flows again; what it goes by is in `watching`.

It has no timer of its own here: a runtime looks, outside its workers, and gives the verdict to `watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.explaining.report import CITED, sources_of
from watchkeeper.ids import timed_id
from watchkeeper.outcome import Emit, Outcome
from watchkeeper.records import DEFAULT_TENANT, Alert, Report, Severity
from watchkeeper.topology import DASHBOARD_ALERTS

if TYPE_CHECKING:
    from watchkeeper.context import Context
    from watchkeeper.knowledge.runbooks import Library
    from watchkeeper.watching import Verdict, WatchState

RUNBOOK = "watchkeeper-pipeline-silent.md"
SELF = "watchkeeper"
ONLY = 0  # watch has one state in all


def watch(verdict: Verdict, ctx: Context) -> Outcome:
    """One alert from when the pipeline falls silent until it flows; nothing is said while neither is certain."""
    state: WatchState = ctx.states[ONLY]
    outcome = Outcome()
    if verdict.silent and state.alert is None:
        state.alert, state.told = silence_alert(verdict, ctx.bundle.library), False
        outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, state.alert))
    elif verdict.flows and state.alert is not None:
        over = msgspec.structs.replace(state.alert, status="resolved", ts=ctx.now, resolved=ctx.now)
        outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, over))
        state.alert, state.told = None, False
    elif verdict.mute and state.alert is not None and not state.told:
        state.told = True
    else:
        return outcome
    outcome.states.add(ONLY)
    return outcome


def silence_alert(verdict: Verdict, library: Library) -> Alert:
    """What people are told; the same for the same silence, however often it is made."""
    name = timed_id(verdict.since, SELF, "silent")
    title = "The pipeline of Watchkeeper is silent"
    runbook = library.runbook(RUNBOOK)
    report = Report(
        episode=name,
        tenant=DEFAULT_TENANT,
        device=SELF,
        ts=verdict.since,
        what=f"{title}: {verdict.silent}. What devices send now is watched by nobody until it flows again.",
        confidence=1.0,
        causes=runbook.causes if runbook else (),
        steps=runbook.steps if runbook else (),
        sources=sources_of(runbook.passages[:CITED] if runbook else ()),
        severity=Severity.CRITICAL,
        category="operations",
    )
    return Alert(
        id=name,
        tenant=DEFAULT_TENANT,
        site="",
        device=SELF,
        device_class=SELF,
        detector="pipeline-silent",
        status="firing",
        severity=Severity.CRITICAL,
        title=title,
        opened=verdict.since,
        ts=verdict.since,
        received=verdict.since,
        category="operations",
        report=report,
    )
