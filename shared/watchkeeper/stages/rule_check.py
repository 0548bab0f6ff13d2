"""rule_check: holds every reading against the rules of its device's class, and notices devices that fall silent."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.checking.pack_check import Found, PackCheck
from watchkeeper.checking.state import CheckState, Heard, device_key
from watchkeeper.checking.withdrawal import Withdrawn, withdraw
from watchkeeper.ids import episode_id, text_id
from watchkeeper.outcome import Delivered, Emit, Outcome
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Anomaly, Flag, MetricView, Phase, Severity
from watchkeeper.topology import RAG_ERROR_REPORTING, RULE_CHECK_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.context import Context
    from watchkeeper.knowledge.rules import Rule

LONGEST_NAP_MS = 120_000  # a timer that has not run for so long was itself away: nobody was silent to it


def rule_check(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Every reading with its verdict; an anomaly where a rule's episode opens, goes on or clears."""
    outcome = Outcome()
    for item in batch:
        if not isinstance(item.record, Pack):
            continue
        pack, state = item.record, ctx.states[item.record.shard]
        classes = [ctx.bundle.catalogue.profile(who.device).class_name for who in pack.devices]
        checked = pack.with_tables([dataclasses.replace(table, rules={}) for table in pack.tables])
        for table in checked.tables:
            for anomaly, row in _heard(pack, table, state, ctx):
                outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, pack.origin_at(table, row)))
        for edge in PackCheck(checked, state, classes, ctx.bundle.rules).run():
            anomaly, origin = _broken(pack, edge, classes, ctx), pack.origin_at(edge.table, edge.row)
            outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, origin))
        outcome.emits.append(Emit(RULE_CHECK_OUTPUT, pack.shard, checked))
    outcome.counts["anomalies"] += sum(_opens(emit) for emit in outcome.emits)
    return outcome


def check_silence(ctx: Context) -> Outcome:
    """The timer: a device that was live and has not been heard for as long as a rule says is silent.

    What a rule that is no longer in force has left open is cleared.
    """
    outcome = Outcome()
    for shard, state in ctx.states.items():
        if not state.heard:
            continue
        if ctx.now - state.ticked > LONGEST_NAP_MS:
            state.awake = ctx.now
        state.ticked = ctx.now
        outcome.states.add(shard)
        over = [_withdrawn(ended, ctx) for ended in withdraw(state, lambda device: _rules_of(device, ctx), ctx.now)]
        anomalies = [*over, *_fallen_silent(state, ctx)]
        outcome.emits += [Emit(RAG_ERROR_REPORTING, shard, anomaly) for anomaly in anomalies]
    outcome.counts["anomalies"] += sum(_opens(emit) for emit in outcome.emits)
    return outcome


def _rules_of(device: str, ctx: Context) -> Sequence[Rule]:
    return ctx.bundle.rules.for_class(ctx.bundle.catalogue.profile(device).class_name)


def _fallen_silent(state: CheckState, ctx: Context) -> Iterator[Anomaly]:
    for heard in state.heard.values():
        quiet = ctx.now - max(heard.received, state.awake)
        for rule in _rules_of(heard.device, ctx) if heard.live else ():
            if rule.kind == "no_data" and rule.id not in heard.silent and quiet >= rule.no_data_ms:
                heard.silent.append(rule.id)
                yield _silence(heard, rule, "open", heard.received, ctx)


def _heard(pack: Pack, table: Table, state: CheckState, ctx: Context) -> Iterator[tuple[Anomaly, int]]:
    """Note which devices were heard; those that had been silent no longer are, from their first row on."""
    last = np.zeros(len(pack.devices), np.int64)
    np.maximum.at(last, table.device, np.arange(len(table)))
    present, firsts = np.unique(table.device, return_index=True)
    for device, first in zip(present.tolist(), firsts.tolist(), strict=True):
        who, row = pack.devices[device], int(last[device])
        key = device_key(who.tenant, who.device)
        live = not table.flags[row] & Flag.BACKFILL
        received, ts = int(table.received[row]), int(table.ts[row])
        before = state.heard.get(key)
        if before is None:
            state.heard[key] = Heard(who.tenant, who.device, who.site, received, ts, live, [])
            continue
        heard_again = int(table.received[first])
        rules = [rule for rule in _rules_of(who.device, ctx) if rule.kind == "no_data"]
        for rule in _may_have_said(before, heard_again, rules):
            yield _silence(before, rule, "clear", heard_again, ctx), first
        for rule_id in set(before.silent) - {rule.id for rule in rules}:
            yield _withdrawn(Withdrawn(before, f"silence:{rule_id}", before.received, heard_again), ctx), first
        before.silent = []
        before.received, before.ts, before.live = max(before.received, received), max(before.ts, ts), live


def _may_have_said(before: Heard, received: int, rules: Sequence[Rule]) -> Iterator[Rule]:
    """The rules by which the device was silent, or that a timer may have said so of and died before it was noted."""
    for rule in rules:
        if rule.id in before.silent or (before.live and received - before.received >= rule.no_data_ms):
            yield rule


def _silence(heard: Heard, rule: Rule, phase: Phase, at: int, ctx: Context) -> Anomaly:
    detector = f"silence:{rule.id}"
    name = text_id(heard.tenant, heard.device, detector, phase, heard.received)
    episode = episode_id(heard.tenant, heard.device, detector, heard.received)
    profile = ctx.bundle.catalogue.profile(heard.device)
    return Anomaly(
        id=name,
        episode=episode,
        tenant=heard.tenant,
        site=heard.site,
        device=heard.device,
        device_class=profile.class_name,
        detector=detector,
        phase=phase,
        ts=at,
        severity=rule.severity,
        summary=rule.summary,
        received=ctx.now if phase == "open" else at,
        since=heard.received,
        runbook=rule.runbook,
        threshold=f"no data for {rule.no_data_ms / 1000:g} s",
        bundle=ctx.bundle.version,
    )


def _withdrawn(ended: Withdrawn, ctx: Context) -> Anomaly:
    """The rule that could say how it stands is gone: the episode is over because nobody asks for it any more."""
    who, detector = ended.heard, ended.detector
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


def _broken(pack: Pack, found: Found, classes: Sequence[str], ctx: Context) -> Anomaly:
    rule, table, row = found.rule, found.table, found.row
    who = pack.devices[table.device[row]]
    ts, metric = int(table.ts[row]), rule.metric or ""
    value = float(table.values[table.metrics.index(metric), row])
    low, high = (None if np.isinf(level) else level for level in (rule.fire_low, rule.fire_high))
    detector = f"rule:{rule.id}"
    return Anomaly(
        id=text_id(who.tenant, who.device, detector, found.edge, found.since, ts),
        episode=episode_id(who.tenant, who.device, detector, found.since),
        tenant=who.tenant,
        site=who.site,
        device=who.device,
        device_class=classes[table.device[row]],
        detector=detector,
        phase=found.edge,
        ts=ts,
        severity=rule.severity,
        summary=rule.summary,
        received=int(table.received[row]),
        metric=metric,
        metrics={metric: MetricView(value, low=low, high=high, contribution=1.0)},
        since=found.since,
        count=found.count,
        runbook=rule.runbook,
        threshold=_limits(rule),
        backfill=bool(table.flags[row] & Flag.BACKFILL),
        bundle=ctx.bundle.version,
    )


def _limits(rule: Rule) -> str:
    limits = [f"below {rule.fire_low:g}"] if np.isfinite(rule.fire_low) else []
    limits += [f"above {rule.fire_high:g}"] if np.isfinite(rule.fire_high) else []
    return " or ".join(limits) + (f" for {rule.for_ms / 1000:g} s" if rule.for_ms else "")


def _opens(emit: Emit) -> bool:
    return isinstance(emit.record, Anomaly) and emit.record.phase in {"open", "event"}
