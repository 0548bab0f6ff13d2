"""notify: one alert per episode to every receiver, its better explanation, and its end; again while nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.alerting.state import NotifyState, Unanswered
from watchkeeper.outcome import ABSENT, Delivered, Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Delivery, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS, OUTBOX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.context import Context

ESCALATE_MS = 15 * 60_000
ESCALATIONS = 3
GIVE_UP_AFTER = 500  # attempts: about two days
TURN_MS = 30_000  # that a delivery belongs to who has begun it: the timer may run elsewhere, while it is being sent
ONLY = 0  # notify has one state in all


def notify(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Keep every alert, and send what wakes people. An alert that was kept before is not sent again."""
    state: NotifyState = ctx.states[ONLY]
    alerts = [item.record for item in batch if isinstance(item.record, Alert)]
    keys = list(dict.fromkeys(_key(alert) for alert in alerts))
    held = ctx.get_many(ALERTS, keys, Alert)
    kept = {key: record for key, (record, _) in held.items()}
    changed: set[Key] = set()
    outcome = Outcome()
    for alert in alerts:
        before = kept.get(_key(alert))
        after = kept[_key(alert)] = _merge(before, alert, ctx.now)
        if after != before:
            changed.add(_key(alert))
            outcome.counts["alerts"] += alert.status == "firing"
        if alert.status == "resolved":
            state.unanswered.pop(alert.id, None)
        elif after.status == "firing" and after.pages and after.severity >= Severity.CRITICAL:
            state.unanswered.setdefault(alert.id, Unanswered(alert.tenant, ctx.now))
        if alert.status == "resolved":
            _supersede(alert, state, outcome)
        if after.pages and not (alert.status == "update" and after.status == "resolved"):
            said = msgspec.structs.replace(after, status=alert.status, ts=alert.ts)
            name = f"{alert.id}/{alert.status}-{alert.ts}"
            receivers = ctx.receivers_for(after.severity)
            _send([Delivery(name, receiver, said) for receiver in receivers], state, ctx, outcome)
    versions = {key: version for key, (_, version) in held.items()}
    outcome.puts[:0] = [Put(ALERTS, *key, kept[key], versions.get(key, ABSENT)) for key in keys if key in changed]
    return outcome


def retry_and_escalate(ctx: Context) -> Outcome:
    """The timer: what a receiver has not taken is sent again; a critical alert that nobody acknowledges is repeated."""
    state: NotifyState = ctx.states[ONLY]
    outcome = Outcome()
    _settle(state, ctx, outcome)
    for name, delivery in state.pending.items():
        if delivery.next_try <= ctx.now:
            state.pending[name] = _begun(delivery, ctx.now)
            outcome.sends.append(state.pending[name])
    outcome.counts["retries"] += len(outcome.sends)
    _escalate(state, ctx, outcome)
    outcome.states.add(ONLY)
    return outcome


def _settle(state: NotifyState, ctx: Context, outcome: Outcome) -> None:
    """Learn from the outbox how deliveries went; those that are over are forgotten."""
    keys = [Key(delivery.receiver, delivery.id) for delivery in state.pending.values()]
    for key, (delivery, _) in ctx.get_many(OUTBOX, keys, Delivery).items():
        name = f"{key.partition}/{key.sort}"
        if delivery.state != "pending":
            del state.pending[name]
        elif delivery.attempts >= GIVE_UP_AFTER or delivery.receiver not in ctx.receivers:
            del state.pending[name]
            outcome.puts.append(Put(OUTBOX, *key, msgspec.structs.replace(delivery, state="given up")))
            outcome.counts["deliveries_given_up"] += 1
        elif delivery.attempts > state.pending[name].attempts:  # else it is on its way
            state.pending[name] = delivery


def _supersede(alert: Alert, state: NotifyState, outcome: Outcome) -> None:
    """What was to be said of an alert before its end, and has not arrived, must not arrive after it."""
    for name, delivery in list(state.pending.items()):
        if delivery.alert.id == alert.id and delivery.alert.status != "resolved":
            del state.pending[name]
            over = msgspec.structs.replace(delivery, state="superseded")
            outcome.puts.append(Put(OUTBOX, delivery.receiver, delivery.id, over))


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
        names = ctx.receivers_for(repeated.severity)
        _send([Delivery(f"{alert_id}/again-{again}", name, repeated) for name in names], state, ctx, outcome)
        outcome.counts["escalations"] += 1


def _send(deliveries: Sequence[Delivery], state: NotifyState, ctx: Context, outcome: Outcome) -> None:
    """Send what has not arrived yet: the outbox knows, even where a crash has brought the alert again."""
    rows = ctx.get_many(OUTBOX, [Key(delivery.receiver, delivery.id) for delivery in deliveries], Delivery)
    for delivery in deliveries:
        known, name = rows.get(Key(delivery.receiver, delivery.id)), f"{delivery.receiver}/{delivery.id}"
        if known is not None and known[0].state != "pending":
            continue
        if known is None:
            if name in state.pending:
                continue  # said twice in one batch
            outcome.puts.append(Put(OUTBOX, delivery.receiver, delivery.id, delivery, ABSENT))
        state.pending[name] = _begun(known[0] if known else delivery, ctx.now)
        outcome.sends.append(state.pending[name])


def _begun(delivery: Delivery, now: int) -> Delivery:
    """A delivery that is sent once this state is written, by who has written it; by others only after its turn."""
    return msgspec.structs.replace(delivery, next_try=now + TURN_MS)


def _merge(before: Alert | None, alert: Alert, now: int) -> Alert:
    """The alert as it is kept: a repetition changes nothing, an update brings its report, a resolve ends it."""
    if before is None:
        return msgspec.structs.replace(alert, origin=None, sent=now)
    if alert.status == "firing":
        if before.status == "resolved" and alert.ts > before.ts:  # closed as stale, and has turned out to go on
            return msgspec.structs.replace(before, status="firing", ts=alert.ts, resolved=None)
        if before.status == "firing" and alert.pages and not before.pages:  # began in a backfill, and goes on
            return msgspec.structs.replace(before, pages=True, received=alert.received, sent=now)
        return before
    over = alert.status == "resolved" or before.status == "resolved"
    return msgspec.structs.replace(
        before,
        status="resolved" if over else before.status,
        ts=max(before.ts, alert.ts) if alert.status == "resolved" else before.ts,
        count=max(before.count, alert.count),
        severity=max(before.severity, alert.severity),
        resolved=before.resolved or alert.resolved,
        report=alert.report or before.report,
    )


def _key(alert: Alert) -> Key:
    return Key(alert.tenant, alert.id)
