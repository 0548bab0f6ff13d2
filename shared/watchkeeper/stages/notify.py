"""notify: one alert per episode to every receiver, its better explanation, and its end; again while nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.alerting.state import NotifyState, Unanswered
from watchkeeper.outcome import Delivered, Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Delivery, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS, OUTBOX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.context import Context

ESCALATE_MS = 15 * 60_000
ESCALATIONS = 3
ONLY = 0  # notify has one state in all


def notify(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Keep every alert, and send what wakes people. An alert that was kept before is not sent again."""
    state: NotifyState = ctx.states[ONLY]
    alerts = [item.record for item in batch if isinstance(item.record, Alert)]
    keys = list(dict.fromkeys(_key(alert) for alert in alerts))
    kept = {key: record for key, (record, _) in ctx.get_many(ALERTS, keys, Alert).items()}
    outcome = Outcome()
    for alert in alerts:
        before = kept.get(_key(alert))
        after = kept[_key(alert)] = _merge(before, alert, ctx.now)
        if after != before:
            outcome.puts.append(Put(ALERTS, *_key(alert), after))
            outcome.counts["alerts"] += alert.status == "firing"
        if alert.status == "resolved":
            state.unanswered.pop(alert.id, None)
        elif after.status == "firing" and after.pages and after.severity >= Severity.CRITICAL:
            state.unanswered.setdefault(alert.id, Unanswered(alert.tenant, ctx.now))
        if after.pages:
            said = msgspec.structs.replace(after, status=alert.status)
            _send([Delivery(f"{alert.id}/{alert.status}", name, said) for name in ctx.receivers], state, ctx, outcome)
    return outcome


def retry_and_escalate(ctx: Context) -> Outcome:
    """The timer: what a receiver has not taken is sent again; a critical alert that nobody acknowledges is repeated."""
    state: NotifyState = ctx.states[ONLY]
    outcome = Outcome()
    _settle(state, ctx)
    due = [delivery for delivery in state.pending.values() if delivery.next_try <= ctx.now]
    outcome.sends += due
    outcome.counts["retries"] += len(due)
    _escalate(state, ctx, outcome)
    outcome.states.add(ONLY)
    return outcome


def _settle(state: NotifyState, ctx: Context) -> None:
    """Learn from the outbox how deliveries went; those that arrived are forgotten."""
    keys = [Key(delivery.receiver, delivery.id) for delivery in state.pending.values()]
    for key, (delivery, _) in ctx.get_many(OUTBOX, keys, Delivery).items():
        name = f"{key.partition}/{key.sort}"
        if delivery.state == "sent":
            del state.pending[name]
        else:
            state.pending[name] = delivery


def _escalate(state: NotifyState, ctx: Context, outcome: Outcome) -> None:
    for alert_id, waiting in list(state.unanswered.items()):
        if ctx.now - waiting.said < ESCALATE_MS:
            continue
        key = Key(waiting.tenant, alert_id)
        alert = ctx.get_many(ALERTS, [key], Alert).get(key)
        if alert is None or ctx.get_many(ACKNOWLEDGEMENTS, [key], Acknowledgement) or waiting.again >= ESCALATIONS:
            del state.unanswered[alert_id]
            continue
        again = waiting.again + 1
        state.unanswered[alert_id] = Unanswered(waiting.tenant, ctx.now, again)
        repeated = msgspec.structs.replace(alert[0], title=f"Not acknowledged: {alert[0].title}")
        _send([Delivery(f"{alert_id}/again-{again}", name, repeated) for name in ctx.receivers], state, ctx, outcome)
        outcome.counts["escalations"] += 1


def _send(deliveries: Sequence[Delivery], state: NotifyState, ctx: Context, outcome: Outcome) -> None:
    """Send what has not arrived yet: the outbox knows, even where a crash has brought the alert again."""
    rows = ctx.get_many(OUTBOX, [Key(delivery.receiver, delivery.id) for delivery in deliveries], Delivery)
    for delivery in deliveries:
        known = rows.get(Key(delivery.receiver, delivery.id))
        if known is None or known[0].state == "pending":
            state.pending[f"{delivery.receiver}/{delivery.id}"] = delivery
            outcome.puts.append(Put(OUTBOX, delivery.receiver, delivery.id, delivery))
            outcome.sends.append(delivery)


def _merge(before: Alert | None, alert: Alert, now: int) -> Alert:
    """The alert as it is kept: a repetition changes nothing, an update brings its report, a resolve ends it."""
    if before is None:
        return msgspec.structs.replace(alert, origin=None, sent=now)
    if alert.status == "firing" or before.status == "resolved":
        return before
    return msgspec.structs.replace(
        before,
        status="resolved" if alert.status == "resolved" else before.status,
        ts=alert.ts,
        count=max(before.count, alert.count),
        severity=max(before.severity, alert.severity),
        resolved=alert.resolved,
        report=alert.report or before.report,
    )


def _key(alert: Alert) -> Key:
    return Key(alert.tenant, alert.id)
