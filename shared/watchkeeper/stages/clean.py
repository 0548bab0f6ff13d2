"""clean: takes each reading once, marks late and old ones, and makes of its values what can be believed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.cleaning.facts import Facts
from watchkeeper.cleaning.news import Teller
from watchkeeper.cleaning.order import Order, order_of
from watchkeeper.cleaning.quality import Noted, by_metric, count
from watchkeeper.cleaning.repetition import repetition
from watchkeeper.cleaning.values import Values
from watchkeeper.cleaning.watching import BACKFILL_MS, Watched, watch
from watchkeeper.ids import content_hashes, reading_ids, text_id
from watchkeeper.outcome import Delivered, Emit, Outcome, Put
from watchkeeper.packs import Bools, Ints, Pack, Table
from watchkeeper.records import DeadLetter, Flag, QualityRecord, SchemaRecord
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, QUALITY, RAG_ERROR_REPORTING, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from watchkeeper.cleaning.metric_set import MetricSet
    from watchkeeper.cleaning.quality import Closed
    from watchkeeper.cleaning.state import CleanState
    from watchkeeper.context import Context
    from watchkeeper.records import Anomaly

_LATE, _BACKFILL, _CLOCK_CORRECTED = (int(flag) for flag in (Flag.LATE, Flag.BACKFILL, Flag.CLOCK_CORRECTED))
FUTURE_MS = 5 * 60_000  # a reading further ahead of the clock is quarantined


def clean(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """One pack in, one out: without repetitions, quarantined readings and impossible values."""
    outcome = Outcome()
    for item in batch:
        if not isinstance(item.record, Pack):
            continue
        pack = item.record
        cleaned = pack.with_tables(_Cleaning(pack, item.origin.topic, ctx.states[pack.shard], outcome, ctx).run())
        outcome.counts["clean"] += len(cleaned)
        if len(cleaned):
            outcome.emits.append(Emit(DATA_PROCESSING_OUTPUT, pack.shard, cleaned))
    return outcome


@dataclasses.dataclass(slots=True)
class _Part:
    """A table and where its n readings belong: devices of the shard, and rows of the set of its metrics."""

    table: Table
    device: Ints
    held: MetricSet
    rows: Ints

    def where(self, keep: Bools) -> _Part:
        return self if keep.all() else _Part(self.table.select(keep), self.device[keep], self.held, self.rows[keep])


class _Cleaning:
    """One pack on its way through clean. Device times are compared as they were sent, and corrected at the end."""

    def __init__(self, pack: Pack, topic: str, state: CleanState, outcome: Outcome, ctx: Context) -> None:
        self.pack, self.topic, self.state, self.outcome, self.ctx = pack, topic, state, outcome, ctx
        self.devices = state.devices.find([f"{who.tenant}\0{who.device}" for who in pack.devices])
        if state.facts is None or state.facts.catalogue is not ctx.bundle.catalogue:
            state.facts = Facts(ctx.bundle.catalogue)
        self.facts = state.facts
        if len(self.facts.profiles) < len(state.devices.places):
            self.facts.learn(list(state.devices.places))

    def run(self) -> list[Table]:
        """The tables that are left."""
        parts = list(self._parts())
        watched = watch(
            self.state,
            [part.table for part in parts],
            [part.device for part in parts],
            [(part.held, part.rows) for part in parts],
        )
        self._tell_changes(parts, watched)
        tables: list[Table] = []
        for part, skew in zip(parts, watched.skews, strict=True):
            corrected = self.facts.corrected[part.device]
            shift = np.zeros(len(skew), np.int64)
            if corrected.any():
                timed = (part.table.flags & Flag.NO_TIME) == 0
                shift = np.where(corrected & timed, skew, 0)
            tables += self._clean(part, shift)
        return tables

    def _parts(self) -> Iterator[_Part]:
        """The pack's tables; what devices with too many sets of metrics send is set apart."""
        for table in self.pack.tables:
            whole = _own(table)
            device, metrics = self.devices[table.device], tuple(sorted(table.metrics))
            crowded = self.state.crowded(metrics, device)
            if crowded.any():
                few = whole.select(crowded)
                yield _Part(few, device[crowded], *self.state.rows((), device[crowded]))
                whole, device = whole.select(~crowded), device[~crowded]
            if len(whole):
                yield _Part(whole, device, *self.state.rows(metrics, device))

    def _clean(self, part: _Part, shift: Ints) -> list[Table]:
        future = part.table.ts + shift > part.table.received + FUTURE_MS
        if future.any():
            self._quarantine(part.table, shift, future)
            part, shift = part.where(~future), shift[~future]
        order = order_of(part.rows, part.table.ts, part.held.newest)
        keep = self._take_once(part, order)
        if not keep.all():
            part, shift = part.where(keep), shift[keep]
            order = order_of(part.rows, part.table.ts, part.held.newest)
        if not len(part.table):
            return []
        table, held = part.table, part.held
        late = order.late(table.ts, self.facts.late[part.device])
        table.flags[late] |= _LATE
        table.flags[table.received - table.ts - shift > BACKFILL_MS] |= _BACKFILL
        table.flags[shift != 0] |= _CLOCK_CORRECTED
        self._gaps(part, order, shift)
        reached = np.maximum(table.ts, order.before)
        ends = np.append(order.begins[1:], len(table)) - 1
        own = part.rows[order.by[order.begins]]
        held.newest[own] = reached[order.by[ends]]
        fresh = held.born[own] == 0
        held.born[own[fresh]] = table.ts[order.by[order.begins[fresh]]]
        values = Values.of(table, part.device, part.rows, held, self.facts)
        values.check()
        for place, edge in values.watch():
            after = int(values.plan.stuck[place][self.facts.class_of[part.device[edge.row]]])
            ts, moved = int(table.ts[edge.row] + shift[edge.row]), int(shift[edge.row])
            anomaly = self._teller(table, edge.row).stuck(table.metrics[place], edge, ts, moved, after)
            self._say(anomaly, table, edge.row)
        values.fill()
        if held.metrics:
            self._count(part, order, reached, late, values)
        table.ts = table.ts + shift
        return values.derive()

    def _quarantine(self, table: Table, shift: Ints, future: Bools) -> None:
        for row in np.flatnonzero(future).tolist():
            reading = self.pack.reading(table, row)
            ahead = (reading.ts + int(shift[row]) - reading.received) / 60_000
            reason = f"event time is {ahead:.0f} minutes after it was received; is the device's clock right?"
            name = text_id("clean", self.pack.ids(table)[row], reading.received)
            body = msgspec.json.encode(reading)
            letter = DeadLetter(
                name, "clean", reason, body, self.ctx.now,
                tenant=reading.tenant, device=reading.device, received=reading.received,
            )  # fmt: skip
            self.outcome.dead.append(letter)
        self.outcome.counts["dead"] += int(future.sum())

    def _take_once(self, part: _Part, order: Order) -> Bools:
        """Which readings are not repetitions; a reading with a known id and other content is a correction.

        A repetition may be of a reading that has been corrected since: a late retry takes no correction back.
        """
        table = part.table
        ids, contents = self._ids(part), content_hashes(table.metrics, table.values)
        keep = np.ones(len(table), bool)
        # Only these can have come before: what is newer than all of its device cannot.
        suspects = order.not_newer(table.ts) | (table.salt != 0)
        if suspects.any():
            found = repetition(ids, contents, *self.state.seen())
            keep = ~(found.repeated & suspects)
            table.flags[found.corrects & suspects] |= Flag.CORRECTION
            self.outcome.counts["deduplicated"] += int((~keep).sum())
            self.outcome.counts["corrections"] += int((found.corrects & suspects).sum())
        self.state.remember(ids[keep], contents[keep])
        return keep

    def _ids(self, part: _Part) -> NDArray[np.uint64]:
        table = part.table
        own_time = np.where(table.salt == 0, table.ts, 0)  # see `Pack.ids`
        return reading_ids(self.facts.hashes[part.device], own_time, table.salt.view(np.uint64))

    def _gaps(self, part: _Part, order: Order, shift: Ints) -> None:
        table, limit = part.table, self.facts.gap[part.device]
        expected = self.facts.interval[part.device] > 0  # of others nobody has said how often they should send
        for row in np.flatnonzero(order.gaps(table.ts, limit) & expected).tolist():
            ts, since = int(table.ts[row] + shift[row]), int(order.before[row] + shift[row])
            self._say(self._teller(table, row).gap(ts, since, int(limit[row])), table, row)

    def _count(self, part: _Part, order: Order, reached: Ints, late: Bools, values: Values) -> None:
        """Count the readings into the quality of their devices, and write the spans that are over."""
        held, by = part.held, order.by
        noted = None
        if late.any() or not values.plain:
            columns = np.array([part.table.metrics.index(name) for name in held.metrics])
            masks = (mask[np.ix_(columns, by)] for mask in (values.valid, values.stuck, values.filled))
            noted = Noted(late[by], *masks)
        span = self.facts.span[part.device]
        starts = (reached - reached % span)[by]
        for closed in count(held, part.rows[by], starts, noted):
            self._write_quality(held, closed)

    def _write_quality(self, held: MetricSet, closed: Closed) -> None:
        device = int(held.owner[closed.row])
        who = self.pack.devices[int(np.flatnonzero(self.devices == device)[0])]
        span, interval = int(self.facts.span[device]), int(self.facts.interval[device])
        since = max(closed.start, int(held.born[closed.row]))
        expected = (closed.start + span - since) / interval if interval else 0.0
        readings, late = closed.counts[:2].tolist()
        record = QualityRecord(
            who.tenant, who.device, closed.start, span, self.topic, round(expected, 1), readings, late,
            by_metric(held.metrics, closed.counts), int(self.state.devices.skew[device]),
        )  # fmt: skip
        place = f"{who.device}/{closed.start:013d}/{self.topic}/{text_id(*held.metrics)}"
        self.outcome.puts.append(Put(QUALITY, who.tenant, place, record))

    def _tell_changes(self, parts: Sequence[_Part], watched: Watched) -> None:
        for change in watched.changes:
            table = parts[change.table].table
            who = self.pack.devices[table.device[change.row]]
            what = (change.version, change.metrics, change.since, change.new, change.gone)
            record = SchemaRecord(who.tenant, who.device, self.topic, *what)
            self.outcome.puts.append(Put(SCHEMAS, who.tenant, f"{who.device}/{self.topic}", record))
            if change.new or change.gone:
                anomaly = dataclasses.replace(self._teller(table, change.row), received=change.since, backfill=False)
                self._say(anomaly.schema(change), table, change.row)

    def _teller(self, table: Table, row: int) -> Teller:
        place = int(table.device[row])
        backfill = bool(table.flags[row] & Flag.BACKFILL)
        name = self.facts.profiles[int(self.devices[place])].class_name
        return Teller(self.pack.devices[place], name, self.ctx.bundle.version, int(table.received[row]), backfill)

    def _say(self, anomaly: Anomaly, table: Table, row: int) -> None:
        self.outcome.emits.append(Emit(RAG_ERROR_REPORTING, self.pack.shard, anomaly, self.pack.origin_at(table, row)))


def _own(table: Table) -> Table:
    """The same readings in a table whose columns may be replaced, and whose flags may be changed."""
    return Table(
        table.metrics, table.device, table.ts, table.received, table.values, table.flags.copy(), table.salt,
        table.origin, table.tags, table.score, table.rules,
    )  # fmt: skip
