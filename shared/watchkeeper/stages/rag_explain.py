"""rag_explain: gathers anomalies into episodes, explains each from the runbooks, and says so to notify."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import ModelError, Unavailable
from watchkeeper.explaining.episodes import LASTING, STALE_MS, carried_on, gone_stale, opened
from watchkeeper.explaining.report import DETERMINISTIC, look_up, report_of
from watchkeeper.explaining.state import ExplainState, Open, Waiting
from watchkeeper.explaining.text import SCHEMA, SYSTEM, checked, prompt_of
from watchkeeper.ids import shard_of
from watchkeeper.outcome import ABSENT, Delivered, Emit, Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Alert, Anomaly, Episode, Origin, Report, Severity
from watchkeeper.topology import DASHBOARD_ALERTS, EPISODES, REPORTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from watchkeeper.context import Context

TEXTS_PER_TICK = 2
WAIT_MS = 3_600_000  # a report that no model has written in so long stays as the runbooks have it


@dataclasses.dataclass(slots=True)
class _Slot:
    """One episode: what is stored of it, what this batch makes of it, and what is to be said."""

    key: Key
    episode: Episode | None
    version: str | None
    explained: bool = False
    changed: bool = False
    report: Report | None = None
    says: list[tuple[Origin, Alert]] = dataclasses.field(default_factory=list)


def rag_explain(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Each anomaly to its episode. One that opens gets a report and fires an alert; one that closes resolves it."""
    anomalies = [(item.origin, item.record) for item in batch if isinstance(item.record, Anomaly)]
    keys = list(dict.fromkeys(_key(anomaly) for _, anomaly in anomalies))
    held = ctx.get_many(EPISODES, keys, Episode)
    explained = ctx.get_many(REPORTS, keys, Report)
    slots: dict[Key, _Slot] = {}
    for key in keys:
        episode, version = held.get(key, (None, ABSENT))
        slots[key] = _Slot(key, episode, version, explained=key in explained)
    for origin, anomaly in anomalies:
        _take(slots[_key(anomaly)], origin, anomaly, ctx)
    outcome = Outcome()
    for slot in slots.values():
        _write(slot, outcome)
    outcome.counts["episodes"] += sum(slot.version is ABSENT and slot.changed for slot in slots.values())
    return outcome


def explain_timer(ctx: Context) -> Outcome:
    """The timer: a language model's words for new reports, and the end of episodes that nobody speaks of any more."""
    outcome = Outcome()
    for shard, state in ctx.states.items():
        if _close_stale(state, ctx, outcome) | _write_texts(state, ctx, outcome):
            outcome.states.add(shard)
    return outcome


def _take(slot: _Slot, origin: Origin, anomaly: Anomaly, ctx: Context) -> None:
    """One edge. Whoever finds its own id, or its effect, has been here before: it says again what it said then."""
    before, state = slot.episode, _state(anomaly, ctx)
    if before is None:
        if anomaly.phase == "clear":
            return
        after = opened(anomaly, ctx.now)
        _begin(slot, origin, anomaly, after, ctx)
    elif before.opened_by == anomaly.id:
        after = before
        _begin(slot, origin, anomaly, after, ctx)
    else:
        after = carried_on(before, anomaly, ctx.now)
        if anomaly.phase == "clear":
            slot.says.append((origin, _alert(after, "resolved", anomaly.ts)))
        elif after.opened_by != before.opened_by:
            _begin(slot, origin, anomaly, after, ctx)
        elif before.closed and not after.closed:
            slot.says.append((origin, _alert(after, "firing", anomaly.ts)))
    slot.changed = slot.changed or after != before
    slot.episode = after
    if after.closed:
        state.open.pop(after.id, None)
    else:
        state.open[after.id] = Open(slot.key.partition, ctx.now)


def _begin(slot: _Slot, origin: Origin, anomaly: Anomaly, episode: Episode, ctx: Context) -> None:
    """Explain an episode that opens, and say so."""
    report = report_of(episode, anomaly, look_up(anomaly, ctx.bundle.library))
    slot.report = None if slot.explained else report
    slot.says.append((origin, _alert(episode, "firing", anomaly.ts, report)))
    if anomaly.phase == "event":
        slot.says.append((origin, _alert(episode, "resolved", anomaly.ts)))
    waiting = _state(anomaly, ctx).waiting
    if ctx.may_call_model and not episode.backfill and all(other.episode != episode.id for other in waiting):
        waiting.append(Waiting(episode.tenant, episode.id, ctx.now))


def _write(slot: _Slot, outcome: Outcome) -> None:
    """One conditional put for the episode. Refused: somebody wrote it since it was read, and the batch comes again."""
    if slot.changed and slot.episode is not None:
        outcome.puts.append(Put(EPISODES, *slot.key, slot.episode, slot.version))
    if slot.report is not None:
        outcome.puts.append(Put(REPORTS, *slot.key, slot.report, ABSENT))
    outcome.emits += [Emit(DASHBOARD_ALERTS, 0, alert, origin) for origin, alert in slot.says]


def _close_stale(state: ExplainState, ctx: Context, outcome: Outcome) -> bool:
    stale = {name: held for name, held in state.open.items() if ctx.now - held.seen > STALE_MS}
    keys = [Key(held.tenant, name) for name, held in stale.items()]
    for key, (episode, version) in ctx.get_many(EPISODES, keys, Episode).items():
        if episode.detector.startswith(LASTING):
            continue
        closed = episode if episode.closed else gone_stale(episode)
        outcome.puts.append(Put(EPISODES, *key, closed, version))
        outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, _alert(closed, "resolved", closed.last)))
    for name in stale:
        del state.open[name]
    return bool(stale)


def _write_texts(state: ExplainState, ctx: Context, outcome: Outcome) -> bool:
    """Ask the model for a few of the waiting reports; its answer becomes an update of the alert, or is dropped."""
    waited = [waiting for waiting in state.waiting if ctx.now - waiting.since <= WAIT_MS]
    changed = len(waited) != len(state.waiting)
    state.waiting = waited
    for waiting in waited[:TEXTS_PER_TICK] if ctx.may_call_model else ():
        key = Key(waiting.tenant, waiting.episode)
        episode = ctx.get_many(EPISODES, [key], Episode).get(key)
        report = ctx.get_many(REPORTS, [key], Report).get(key)
        if episode and report and episode[0].anomaly and report[0].written_by == DETERMINISTIC:
            try:
                written = _ask(episode[0].anomaly, report[0], ctx)
            except Unavailable:
                break  # it is away, or its circuit is open: later
            outcome.puts.append(Put(REPORTS, *key, written, report[1]))
            if not written.rejected:
                outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, _alert(episode[0], "update", ctx.now, written)))
        state.waiting.remove(waiting)
        changed = True
    return changed


def _ask(anomaly: Anomaly, report: Report, ctx: Context) -> Report:
    passages = look_up(anomaly, ctx.bundle.library).passages
    try:
        answer = ctx.complete(SYSTEM, prompt_of(anomaly, ctx.bundle.catalogue, passages), SCHEMA)
        return checked(answer.text, passages, report, answer.model)
    except ModelError as error:
        ctx.used["model_answers_rejected"] += 1
        return msgspec.structs.replace(report, rejected=str(error))


def _state(anomaly: Anomaly, ctx: Context) -> ExplainState:
    state: ExplainState = ctx.states[shard_of(anomaly.tenant, anomaly.device, ctx.shards)]
    return state


def _key(anomaly: Anomaly) -> Key:
    return Key(anomaly.tenant, anomaly.episode)


def _alert(
    episode: Episode, status: Literal["firing", "update", "resolved"], ts: int, report: Report | None = None
) -> Alert:
    return Alert(
        id=episode.id,
        tenant=episode.tenant,
        site=episode.site,
        device=episode.device,
        device_class=episode.device_class,
        detector=episode.detector,
        status=status,
        severity=episode.severity,
        title=f"{episode.summary} ({episode.device})",
        opened=episode.opened,
        ts=ts,
        received=episode.received,
        resolved=episode.closed if status == "resolved" else None,
        category=report.category if report else "",
        count=episode.count,
        metric=episode.metric,
        pages=not episode.backfill and episode.severity > Severity.INFO,
        report=report,
    )
