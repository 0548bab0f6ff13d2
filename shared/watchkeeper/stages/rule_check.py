"""rule_check: holds every reading against the rules of its device, and notices devices that fall silent."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.checking.foretold import foretold
from watchkeeper.checking.hearing import HeardAgain, hear
from watchkeeper.checking.pack_check import Found, PackCheck
from watchkeeper.checking.roster import Present, Roster
from watchkeeper.checking.withdrawal import Withdrawn, withdraw
from watchkeeper.ids import episode_id, text_id
from watchkeeper.outcome import Delivered, Emit, Outcome
from watchkeeper.packs import Pack
from watchkeeper.records import Anomaly, Flag, MetricView, Phase, Severity
from watchkeeper.topology import RAG_ERROR_REPORTING, RULE_CHECK_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.checking.state import CheckState, Known
    from watchkeeper.context import Context
    from watchkeeper.knowledge.rules import Group, Rule

LONGEST_NAP_MS = 120_000  # a timer that has not run for so long was itself away: nobody was silent to it


def rule_check(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Every reading with its verdict; an anomaly where a rule's episode opens, goes on or clears."""
    outcome = Outcome()
    for item in batch:
        if isinstance(item.record, Pack):
            _check(item.record, ctx.states[item.record.shard], ctx, outcome)
    outcome.counts["anomalies"] += sum(_opens(emit) for emit in outcome.emits)
    return outcome


def _check(pack: Pack, state: CheckState, ctx: Context, outcome: Outcome) -> None:
    if state.roster is None or state.roster.bundle is not ctx.bundle:
        state.roster = Roster(ctx.bundle)
    here = state.roster.find(state, pack.devices)
    quiet_ms = np.array([kind.group.quiet_ms for kind in here.kinds])[here.kind]
    checked = pack.with_tables([dataclasses.replace(table, rules={}) for table in pack.tables])
    for table in checked.tables:
        for heard in hear(state, table, here.slots, quiet_ms):
            group = here.of(table.device[heard.row]).group
            for anomaly in _no_longer_silent(heard, group, state, ctx):
                origin = pack.origin_at(table, heard.row)
                outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, origin))
    state.roster.settle(state, here, pack.devices)
    check = PackCheck(checked, state, ctx.bundle.rules, here)
    for foreseen in state.foresight.look(check.views, here):
        who = pack.devices[foreseen.table.device[foreseen.row]]
        class_name = here.of(foreseen.table.device[foreseen.row]).class_name
        anomaly = foretold(foreseen, who, class_name, ctx.bundle.version)
        origin = pack.origin_at(foreseen.table, foreseen.row)
        outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, origin))
    for edge in check.run():
        anomaly, origin = _broken(pack, edge, here, ctx), pack.origin_at(edge.table, edge.row)
        outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, origin))
    outcome.emits.append(Emit(RULE_CHECK_OUTPUT, pack.shard, checked))


def check_silence(ctx: Context) -> Outcome:
    """The timer: a device that was live and has not been heard for as long as a rule says is silent.

    What a rule that is no longer in force has left open is cleared.
    """
    outcome = Outcome()
    for shard, state in ctx.states.items():
        if not state.devices:
            continue
        if ctx.now - state.ticked > LONGEST_NAP_MS:
            state.awake = ctx.now
        state.ticked = ctx.now
        outcome.states.add(shard)
        over = [_withdrawn(ended, ctx) for ended in withdraw(state, lambda known: _group_of(known, ctx).rules, ctx.now)]
        anomalies = [*over, *_fallen_silent(state, ctx)]
        outcome.emits += [Emit(RAG_ERROR_REPORTING, shard, anomaly) for anomaly in anomalies]
    outcome.counts["anomalies"] += sum(_opens(emit) for emit in outcome.emits)
    return outcome


def _group_of(known: Known, ctx: Context) -> Group:
    class_name = ctx.bundle.catalogue.profile(known.device).class_name
    return ctx.bundle.rules.group(class_name, known.site, known.device)


def _fallen_silent(state: CheckState, ctx: Context) -> Iterator[Anomaly]:
    length = len(state.devices)
    quiet = ctx.now - np.maximum(state.received[:length], state.awake)
    for slot in np.flatnonzero(state.live[:length] & (quiet >= ctx.bundle.rules.shortest_quiet_ms)).tolist():
        known, since = state.devices[slot], int(state.received[slot])
        said = state.silent.get(slot, [])
        for rule in _group_of(known, ctx).rules:
            if rule.kind != "no_data" or rule.id in said or quiet[slot] < rule.no_data_ms:
                continue
            if rule.in_force(ctx.now, ctx.bundle.catalogue.profile(known.device).time_zone):
                state.silent.setdefault(slot, said).append(rule.id)
                yield _silence(known, rule, "open", since, since, ctx)


def _no_longer_silent(heard: HeardAgain, group: Group, state: CheckState, ctx: Context) -> Iterator[Anomaly]:
    """For the rules by which a device was silent, or that a timer may have said so of and died before it was noted."""
    known, said = state.devices[heard.slot], state.silent.pop(heard.slot, [])
    rules = [rule for rule in group.rules if rule.kind == "no_data"]
    for rule in rules:
        if rule.id in said or (heard.was_live and heard.received - heard.since >= rule.no_data_ms):
            yield _silence(known, rule, "clear", heard.since, heard.received, ctx)
    for rule_id in sorted(set(said) - {rule.id for rule in rules}):
        yield _withdrawn(Withdrawn(known, f"silence:{rule_id}", heard.since, heard.received), ctx)


def _silence(known: Known, rule: Rule, phase: Phase, since: int, at: int, ctx: Context) -> Anomaly:
    detector = f"silence:{rule.id}"
    name = text_id(known.tenant, known.device, detector, phase, since)
    episode = episode_id(known.tenant, known.device, detector, since)
    profile = ctx.bundle.catalogue.profile(known.device)
    return Anomaly(
        id=name,
        episode=episode,
        tenant=known.tenant,
        site=known.site,
        device=known.device,
        device_class=profile.class_name,
        detector=detector,
        phase=phase,
        ts=at,
        severity=rule.severity,
        summary=rule.summary,
        received=ctx.now if phase == "open" else at,
        since=since,
        runbook=rule.runbook,
        threshold=rule.threshold(),
        bundle=ctx.bundle.version,
    )


def _withdrawn(ended: Withdrawn, ctx: Context) -> Anomaly:
    """The rule that could say how it stands is gone: the episode is over because nobody asks for it any more."""
    who, detector = ended.known, ended.detector
    return Anomaly(
        id=text_id(who.tenant, who.device, detector, "withdrawn", ended.since),
        episode=episode_id(who.tenant, who.device, detector, ended.since),
        tenant=who.tenant,
        site=who.site,
        device=who.device,
        device_class=ctx.bundle.catalogue.profile(who.device).class_name,
        detector=detector,
        phase="clear",
        ts=ended.over,
        severity=Severity.INFO,
        summary="The rule is no longer in force",
        received=ctx.now,
        since=ended.since,
        count=0,
        bundle=ctx.bundle.version,
    )


def _broken(pack: Pack, found: Found, here: Present, ctx: Context) -> Anomaly:
    rule, table, row = found.rule, found.table, found.row
    who, ts = pack.devices[table.device[row]], int(table.ts[row])
    metrics = _views(found)
    detector = f"rule:{rule.id}"
    return Anomaly(
        id=text_id(who.tenant, who.device, detector, found.edge, found.since, ts),
        episode=episode_id(who.tenant, who.device, detector, found.since),
        tenant=who.tenant,
        site=who.site,
        device=who.device,
        device_class=here.of(table.device[row]).class_name,
        detector=detector,
        phase=found.edge,
        ts=ts,
        severity=rule.severity,
        summary=rule.summary,
        received=int(table.received[row]),
        metric=next(iter(metrics), rule.metrics[0] if rule.metrics else ""),
        metrics=metrics,
        since=found.since,
        count=found.count,
        runbook=rule.runbook,
        threshold=rule.threshold(),
        backfill=bool(table.flags[row] & Flag.BACKFILL),
        bundle=ctx.bundle.version,
    )


def _views(found: Found) -> dict[str, MetricView]:
    """What the rule looked at in the reading, with its limits where they are limits of the value itself."""
    rule, table = found.rule, found.table
    places = {name: table.metrics.index(name) for name in rule.metrics if name in table.metrics}
    values = {name: float(table.values[place, found.row]) for name, place in places.items()}
    present = {name: value for name, value in values.items() if not np.isnan(value)}
    limits = (rule.fire_low, rule.fire_high) if rule.kind in {"above", "below", "outside"} else (-np.inf, np.inf)
    low, high = (None if np.isinf(level) else level for level in limits)
    return {
        name: MetricView(value, low=low, high=high, contribution=1 / len(present)) for name, value in present.items()
    }


def _opens(emit: Emit) -> bool:
    return isinstance(emit.record, Anomaly) and emit.record.phase in {"open", "event"}
