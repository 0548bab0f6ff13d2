"""rule_check: holds every reading against the rules of its device's class, and notices devices that fall silent."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.checking.state import CheckState, Heard
from watchkeeper.checking.table import Found, TableCheck, device_key
from watchkeeper.ids import episode_id, text_id
from watchkeeper.outcome import Delivered, Emit, Outcome
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Anomaly, Flag, MetricView, Phase
from watchkeeper.topology import RAG_ERROR_REPORTING, RULE_CHECK_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.context import Context
    from watchkeeper.knowledge.rules import Rule

LONGEST_NAP_MS = 120_000  # a timer that has not run for so long was itself away: nobody was silent to it


def rule_check(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Every reading with its verdict; an anomaly where a rule's episode opens, goes on or clears."""
    outcome = Outcome()
    for index, item in enumerate(batch):
        if not isinstance(item.record, Pack):
            continue
        pack, state = item.record, ctx.states[item.record.shard]
        classes = [ctx.bundle.catalogue.profile(who.device).class_name for who in pack.devices]
        tables = [dataclasses.replace(table, rules={}) for table in pack.tables]
        for table in tables:
            anomalies = list(_heard(pack, table, state, ctx))
            check = TableCheck(pack, table, state, classes, ctx.bundle.rules)
            anomalies.extend(_broken(pack, table, found, classes, ctx) for found in check.run())
            outcome.emits += [Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, index) for anomaly in anomalies]
        outcome.emits.append(Emit(RULE_CHECK_OUTPUT, pack.shard, pack.with_tables(tables), index))
    outcome.counts["anomalies"] += sum(_opens(emit) for emit in outcome.emits)
    return outcome


def check_silence(ctx: Context) -> Outcome:
    """The timer: a device that was live and has not been heard for as long as a rule says is silent."""
    outcome = Outcome()
    for shard, state in ctx.states.items():
        if ctx.now - state.ticked > LONGEST_NAP_MS:
            state.awake = ctx.now
        state.ticked = ctx.now
        outcome.states.add(shard)
        for heard in state.heard.values():
            profile = ctx.bundle.catalogue.profile(heard.device)
            for rule in ctx.bundle.rules.for_class(profile.class_name):
                quiet = ctx.now - max(heard.received, state.awake)
                if rule.kind != "no_data" or not heard.live or rule.id in heard.silent or quiet < rule.no_data_ms:
                    continue
                heard.silent.append(rule.id)
                anomaly = _silence(heard, rule, "open", heard.received, ctx)
                outcome.emits.append(Emit(RAG_ERROR_REPORTING, shard, anomaly))
    outcome.counts["anomalies"] += len(outcome.emits)
    return outcome


def _heard(pack: Pack, table: Table, state: CheckState, ctx: Context) -> Iterator[Anomaly]:
    """Note which devices were heard; those that had been silent no longer are."""
    last = np.zeros(len(pack.devices), np.int64)
    np.maximum.at(last, table.device, np.arange(len(table)))
    for device in np.unique(table.device).tolist():
        who, row, key = pack.devices[device], int(last[device]), device_key(pack, device)
        live = not table.flags[row] & Flag.BACKFILL
        received, ts = int(table.received[row]), int(table.ts[row])
        before = state.heard.get(key)
        if before is None:
            state.heard[key] = Heard(who.tenant, who.device, who.site, received, ts, live, [])
            continue
        for rule_id in before.silent:
            rule = ctx.bundle.rules.by_id(rule_id)
            if rule is not None:
                yield _silence(before, rule, "clear", received, ctx)
        before.silent = []
        before.received, before.ts, before.live = max(before.received, received), max(before.ts, ts), live


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


def _broken(pack: Pack, table: Table, found: Found, classes: Sequence[str], ctx: Context) -> Anomaly:
    rule, row = found.rule, found.row
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
