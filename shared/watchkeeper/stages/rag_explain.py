"""rag_explain: gathers anomalies into episodes, explains each from the runbooks, and says so to notify."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import ModelError, Unavailable
from watchkeeper.explaining.episodes import STALE_MS, carried_on, gone_stale, opened
from watchkeeper.explaining.report import look_up, report_of
from watchkeeper.explaining.state import ExplainState, Open, Waiting
from watchkeeper.explaining.text import SCHEMA, SYSTEM, checked, prompt_of
from watchkeeper.ids import shard_of
from watchkeeper.outcome import ABSENT, Delivered, Emit, Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Alert, Anomaly, Episode, Report, Severity
from watchkeeper.topology import DASHBOARD_ALERTS, EPISODES, OPEN_EPISODES, REPORTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from watchkeeper.context import Context

TEXTS_PER_TICK = 4
TRIES = 5


@dataclasses.dataclass(slots=True)
class _Slot:
    """The place of one device and detector: the episode there, its stored version, and what this batch makes of it."""

    key: Key
    episode: Episode | None
    version: str | None
    changed: bool = False
    began: bool = False
    past: list[Episode] = dataclasses.field(default_factory=list)  # episodes of this batch that are over
    says: list[tuple[int, Alert]] = dataclasses.field(default_factory=list)
    reports: list[Report] = dataclasses.field(default_factory=list)


def rag_explain(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Each anomaly to its episode. One that opens gets a report and fires an alert; one that closes resolves it."""
    anomalies = [(index, item.record) for index, item in enumerate(batch) if isinstance(item.record, Anomaly)]
    keys = list(dict.fromkeys(_key(anomaly) for _, anomaly in anomalies))
    held = ctx.get_many(OPEN_EPISODES, keys, Episode)
    slots = {key: _Slot(key, *held.get(key, (None, ABSENT))) for key in keys}
    for index, anomaly in anomalies:
        _take(slots[_key(anomaly)], index, anomaly, ctx)
    outcome = Outcome()
    for slot in slots.values():
        if slot.changed:
            _write(slot, outcome)
    outcome.counts["episodes"] += sum(len(slot.reports) for slot in slots.values())
    return outcome


def explain_timer(ctx: Context) -> Outcome:
    """The timer: a language model's words for new reports, and the end of episodes that nobody speaks of any more."""
    outcome = Outcome()
    for shard, state in ctx.states.items():
        if _close_stale(state, ctx, outcome) or _write_texts(state, ctx, outcome):
            outcome.states.add(shard)
    return outcome


def _take(slot: _Slot, index: int, anomaly: Anomaly, ctx: Context) -> None:
    episode = slot.episode
    if episode is not None and episode.opened_by == anomaly.id:
        slot.began = slot.changed = True  # found its own id: it has opened this one before, and says so again
        _begin(slot, index, anomaly, episode, ctx)
        return
    running = episode is not None and episode.closed is None
    if episode is not None and anomaly.phase == "clear":
        after = carried_on(episode, anomaly, ctx.now) if running else episode
        if running or episode.taken == anomaly.origin:
            slot.episode, slot.changed = after, True
            slot.says.append((index, _alert(after, "resolved", anomaly.ts)))
            _state(anomaly, ctx).open.pop(after.id, None)
    elif episode is not None and running and anomaly.phase == "update":
        slot.episode, slot.changed = carried_on(episode, anomaly, ctx.now), True
        _state(anomaly, ctx).open[episode.id] = Open(slot.key.partition, slot.key.sort, ctx.now)
    elif anomaly.phase != "clear":
        if episode is not None and slot.changed:
            slot.past.append(episode)
        slot.episode, slot.began, slot.changed = opened(anomaly, ctx.now), True, True
        _begin(slot, index, anomaly, slot.episode, ctx)


def _begin(slot: _Slot, index: int, anomaly: Anomaly, episode: Episode, ctx: Context) -> None:
    """Explain an episode that opens, and say so."""
    report = report_of(episode, anomaly, look_up(anomaly, ctx.bundle.library))
    slot.reports.append(report)
    slot.says.append((index, _alert(episode, "firing", anomaly.ts, report)))
    state = _state(anomaly, ctx)
    if episode.closed is None:
        state.open[episode.id] = Open(slot.key.partition, slot.key.sort, ctx.now)
    waits = any(waiting.episode == episode.id for waiting in state.waiting)
    if ctx.may_call_model and not episode.backfill and not waits:
        state.waiting.append(Waiting(episode.tenant, episode.id))


def _write(slot: _Slot, outcome: Outcome) -> None:
    """One put for the slot, conditional on what was read; all that was made of it depends on that put."""
    if slot.episode is None:
        return
    claim = slot.episode.opened_by if slot.began else ""
    put = Put(OPEN_EPISODES, *slot.key, slot.episode, slot.version, claim)
    outcome.puts.append(put)
    outcome.puts += [
        Put(EPISODES, episode.tenant, episode.id, episode, after=put) for episode in (*slot.past, slot.episode)
    ]
    outcome.puts += [Put(REPORTS, report.tenant, report.episode, report, after=put) for report in slot.reports]
    outcome.emits += [Emit(DASHBOARD_ALERTS, 0, alert, index, put) for index, alert in slot.says]


def _close_stale(state: ExplainState, ctx: Context, outcome: Outcome) -> bool:
    stale = {name: held for name, held in state.open.items() if ctx.now - held.seen > STALE_MS}
    keys = [Key(held.partition, held.detector) for held in stale.values()]
    for key, (episode, version) in ctx.get_many(OPEN_EPISODES, keys, Episode).items():
        if episode.id in stale:
            closed = episode if episode.closed else gone_stale(episode)
            put = Put(OPEN_EPISODES, *key, closed, version)
            outcome.puts += [put, Put(EPISODES, closed.tenant, closed.id, closed, after=put)]
            outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, _alert(closed, "resolved", closed.last), after=put))
    for name in stale:
        del state.open[name]
    return bool(stale)


def _write_texts(state: ExplainState, ctx: Context, outcome: Outcome) -> bool:
    """Ask the model for a few of the waiting reports; its answer becomes an update of the alert, or is dropped."""
    if not state.waiting or not ctx.may_call_model:
        return False
    now, state.waiting = state.waiting[:TEXTS_PER_TICK], state.waiting[TEXTS_PER_TICK:]
    for waiting in now:
        key = Key(waiting.tenant, waiting.episode)
        episode = ctx.get_many(EPISODES, [key], Episode).get(key)
        report = ctx.get_many(REPORTS, [key], Report).get(key)
        if episode is None or report is None or episode[0].anomaly is None:
            continue
        try:
            written = _ask(episode[0].anomaly, report[0], ctx)
        except Unavailable:
            if waiting.tries + 1 < TRIES:
                state.waiting.append(msgspec.structs.replace(waiting, tries=waiting.tries + 1))
            continue
        outcome.puts.append(Put(REPORTS, *key, written))
        if not written.rejected:
            alert = _alert(episode[0], "update", episode[0].last, written)
            outcome.emits.append(Emit(DASHBOARD_ALERTS, 0, alert))
    return True


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
    return Key(f"{anomaly.tenant}/{anomaly.device}", anomaly.detector)


def _alert(
    episode: Episode, status: Literal["firing", "update", "resolved"], ts: int, report: Report | None = None
) -> Alert:
    return Alert(
        episode.id, episode.tenant, episode.site, episode.device, episode.device_class, episode.detector, status,
        episode.severity, f"{episode.summary} ({episode.device})", episode.opened, ts,
        received=episode.received, resolved=episode.closed if status == "resolved" else None,
        category=report.category if report else "", count=episode.count, metric=episode.metric,
        pages=not episode.backfill and episode.severity > Severity.INFO, report=report,
    )  # fmt: skip
