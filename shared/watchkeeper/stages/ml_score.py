"""ml_score: scores every reading against its own device's past, and opens an episode where it cannot be chance."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.detection.config import DEFAULT
from watchkeeper.detection.scorer import score
from watchkeeper.detection.season import LocalTime
from watchkeeper.detection.state import VERSION, DetectorState
from watchkeeper.ids import episode_id, text_id
from watchkeeper.knowledge.calendars import offsets
from watchkeeper.knowledge.catalogue import ITSELF
from watchkeeper.outcome import Delivered, Emit, Outcome
from watchkeeper.packs import Pack, Table
from watchkeeper.records import Anomaly, Flag, Importance, MetricView, Severity
from watchkeeper.topology import FINAL_DATA_STORAGE, RAG_ERROR_REPORTING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.context import Context
    from watchkeeper.detection.classes import ClassKnowledge
    from watchkeeper.detection.scorer import Edge
    from watchkeeper.knowledge.catalogue import Catalogue
    from watchkeeper.packs import Ints

log = logging.getLogger(__name__)
COLUMNS = ("device", "ts", "received", "flags", "salt", "origin", "tags")
VIEWS = 8  # metrics shown on an anomaly, those that contribute most


def ml_score(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Every reading with its score; an anomaly where the model's episode opens, goes on or clears."""
    outcome = Outcome()
    for item in batch:
        if not isinstance(item.record, Pack):
            continue
        pack, state = item.record, ctx.states[item.record.shard]
        tables, edges, unscored = _scored(pack, state, ctx)
        if unscored:
            outcome.counts["unscored"] += unscored
            log.warning(
                "shard %d: %d values went through unscored: their devices send more than %d metrics",
                pack.shard, unscored, DEFAULT.most_metrics,
            )  # fmt: skip
        for table, edge in edges:
            if ctx.bundle.catalogue.profile(pack.devices[table.device[edge.row]].device).class_name == ITSELF:
                continue  # its figures jump with the load, and its rules say what is too much
            anomaly = _anomaly(pack, table, edge, ctx)
            outcome.emits.append(Emit(RAG_ERROR_REPORTING, pack.shard, anomaly, pack.origin_at(table, edge.row)))
            outcome.counts["anomalies"] += edge.phase == "open"
        outcome.emits.append(Emit(FINAL_DATA_STORAGE, pack.shard, pack.with_tables(tables)))
    return outcome


def _scored(pack: Pack, state: DetectorState, ctx: Context) -> tuple[list[Table], list[tuple[Table, Edge]], int]:
    """The pack's tables with their scores; the edges, each with the table that its row is in; values not scored."""
    if _apart(pack):
        scored = [_score(pack, table, state, ctx) for table in pack.tables]
        found = [(table, edge) for table, edges, _ in scored for edge in edges]
        return [table for table, _, _ in scored], found, sum(unscored for _, _, unscored in scored)
    together, place = _together(pack)
    whole, edges, unscored = _score(pack, together, state, ctx)
    ends = np.cumsum([len(table) for table in pack.tables])[:-1]
    flags, scores = np.split(whole.flags[place], ends), np.split(whole.score[place], ends)
    tables = [
        dataclasses.replace(table, flags=of_table, score=score_of_table)
        for table, of_table, score_of_table in zip(pack.tables, flags, scores, strict=True)
    ]
    return tables, [(whole, edge) for edge in edges], unscored


def _score(pack: Pack, table: Table, state: DetectorState, ctx: Context) -> tuple[Table, list[Edge], int]:
    # A device that has changed its site is listed twice, and is one device all the same.
    listed = [f"{who.tenant}\0{who.device}" for who in pack.devices]
    names, device = list(dict.fromkeys(listed)), table.device
    if len(names) < len(listed):
        number = {name: index for index, name in enumerate(names)}
        device = np.array([number[name] for name in listed], np.int64)[device]
    local = local_time(pack, table, ctx.bundle.catalogue)
    classes = _classes(names, ctx)
    scored = score(
        state, names, device, table.ts, table.metrics, table.values.T, local=local, model=ctx.model, classes=classes
    )
    flags = table.flags.copy()
    flags[scored.warming] |= Flag.WARMING
    flags[scored.anomalous] |= Flag.ANOMALOUS
    return dataclasses.replace(table, flags=flags, score=scored.score), scored.edges, scored.unscored


def _classes(names: Sequence[str], ctx: Context) -> list[ClassKnowledge | None]:
    """What is known of the class of each device, by the tenant and name of it."""
    book, profile = ctx.classes, ctx.bundle.catalogue.profile
    if book is None:
        return []
    apart = (name.split("\0", 1) for name in names)
    return [book.of(tenant, profile(device).class_name) for tenant, device in apart]


def local_time(pack: Pack, table: Table, catalogue: Catalogue) -> LocalTime:
    """The time of a table's readings by the clocks of their devices, and whether those rest on that day."""
    clock = np.fromiter(map(catalogue.clock, [who.device for who in pack.devices]), np.int64, len(pack.devices))
    ms, resting = table.ts.copy(), np.zeros(len(table), np.bool_)
    for number in np.unique(clock).tolist():
        zone, calendar = catalogue.clocks[number]
        here = clock[table.device] == number
        ms[here] += offsets(table.ts[here], calendar.time_zone or zone)
        resting[here] = calendar.rests(ms[here])
    return LocalTime(ms, resting)


def _apart(pack: Pack) -> bool:
    """Is every device in one table only? Then tables can be scored one by one without mixing up its order."""
    if len(pack.tables) == 1:
        return True
    held = [{pack.devices[device].device for device in np.unique(table.device)} for table in pack.tables]
    return sum(map(len, held)) == len(set().union(*held))


def _together(pack: Pack) -> tuple[Table, Ints]:
    """All readings of a pack as one table over all its metrics, in order of time; and where each of them is in it.

    Within its own table a device's readings keep their order: a late one stays behind the newer ones it came after.
    """
    metrics = tuple(dict.fromkeys(name for table in pack.tables for name in table.metrics))
    values = np.full((len(metrics), len(pack)), np.nan)
    start = 0
    for table in pack.tables:
        rows = slice(start, start + len(table))
        values[[metrics.index(name) for name in table.metrics], rows] = table.values
        start += len(table)
    columns = {name: np.concatenate([getattr(t, name) for t in pack.tables]) for name in COLUMNS}
    whole = Table(metrics, values=values, score=np.empty(0), rules={}, **columns)
    order = np.argsort(np.concatenate([_newest(table) for table in pack.tables]), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return whole.reordered(order), place


def _newest(table: Table) -> Ints:
    """For each reading the newest time its device has sent up to then, in this table."""
    first = int(table.ts.min()) if len(table) else 0
    by_device = np.argsort(table.device, kind="stable")
    since = table.ts[by_device] - first
    far = (since.max(initial=0) + 1) * table.device[by_device]  # keeps devices apart
    newest = np.empty(len(table), np.int64)
    newest[by_device] = np.maximum.accumulate(since + far) - far + first
    return newest


def _anomaly(pack: Pack, table: Table, edge: Edge, ctx: Context) -> Anomaly:
    who, ts = pack.devices[table.device[edge.row]], int(table.ts[edge.row])
    profile = ctx.bundle.catalogue.profile(who.device)
    most = sorted(edge.contribution, key=lambda name: -edge.contribution[name])[:VIEWS]
    values = dict(zip(table.metrics, table.values[:, edge.row].tolist(), strict=True))
    views = {
        name: MetricView(values[name], edge.expected[name], edge.low[name], edge.high[name], edge.contribution[name])
        for name in most
    }
    severity = Severity.CRITICAL if profile.importance is Importance.CRITICAL else Severity.WARNING
    return Anomaly(
        id=text_id(who.tenant, who.device, "model", edge.phase, edge.since_ts, ts),
        episode=episode_id(who.tenant, who.device, "model", edge.since_ts),
        tenant=who.tenant,
        site=who.site,
        device=who.device,
        device_class=profile.class_name,
        detector="model",
        phase=edge.phase,
        ts=ts,
        severity=severity,
        summary=_summary(edge, views),
        received=int(table.received[edge.row]),
        metric=edge.metric,
        metrics=views,
        score=round(edge.score, 4),
        confidence=round(edge.confidence, 4),
        since=edge.since_ts,
        count=edge.count,
        backfill=bool(table.flags[edge.row] & Flag.BACKFILL),
        bundle=ctx.bundle.version,
        model=ctx.model.version if ctx.model else "baseline",
    )


def _summary(edge: Edge, views: dict[str, MetricView]) -> str:
    view = views.get(edge.metric)
    if view is None or view.value is None or view.low is None or view.high is None:
        return "Unusual readings"
    where = "above" if view.value > view.high else "below" if view.value < view.low else "unusual within"
    return f"{edge.metric} is {view.value:.4g}, {where} the expected {view.low:.4g} to {view.high:.4g}"


class _Codec:
    version, version_of = VERSION, DetectorState.version_of

    def empty(self) -> DetectorState:
        return DetectorState.empty()

    def encode(self, state: DetectorState) -> bytes:
        return state.encode()

    def decode(self, data: bytes) -> DetectorState:
        return DetectorState.decode(data)


SCORE_CODEC = _Codec()
