"""clean: takes each reading once, marks late and old ones, and leaves out values that cannot be true."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from watchkeeper.cleaning.filling import carry_on
from watchkeeper.cleaning.order import Order, order_of
from watchkeeper.cleaning.repetition import repetition
from watchkeeper.cleaning.state import CleanState
from watchkeeper.ids import content_hashes, episode_id, text_id
from watchkeeper.knowledge.catalogue import GENERIC, DeviceProfile, Fill
from watchkeeper.outcome import Delivered, Emit, Outcome
from watchkeeper.packs import Bools, Ints, Pack, Table
from watchkeeper.records import Anomaly, DeadLetter, Flag, Severity
from watchkeeper.topology import DATA_PROCESSING_OUTPUT, RAG_ERROR_REPORTING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.context import Context

FUTURE_MS = 5 * 60_000  # a reading further ahead of the clock is quarantined
BACKFILL_MS = 10 * 60_000  # a reading received so long after it happened pages nobody
LATE_INTERVALS = 10
LATE_LEAST_MS = 60_000
GAP_LEAST_MS = 5 * 60_000


def clean(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """One pack in, one out: without repetitions, quarantined readings and impossible values."""
    outcome = Outcome()
    for item in batch:
        if not isinstance(item.record, Pack):
            continue
        pack, state = item.record, ctx.states[item.record.shard]
        profiles = [ctx.bundle.catalogue.profile(who.device) for who in pack.devices]
        cleaned = pack.with_tables([_Cleaning(pack, t, state, profiles, outcome, ctx).run() for t in pack.tables])
        outcome.counts["clean"] += len(cleaned)
        if len(cleaned):
            outcome.emits.append(Emit(DATA_PROCESSING_OUTPUT, pack.shard, cleaned))
    return outcome


@dataclasses.dataclass(slots=True)
class _Cleaning:
    """One table on its way through clean."""

    pack: Pack
    table: Table
    state: CleanState
    profiles: Sequence[DeviceProfile]
    outcome: Outcome
    ctx: Context

    def run(self) -> Table:
        self._quarantine()
        metrics, devices = self.table.metrics, np.unique(self.table.device).tolist()
        slots = np.zeros(len(self.pack.devices), np.int64)
        for device in devices:
            who = self.pack.devices[device]
            slots[device] = self.state.slot(who.tenant, who.device, metrics)
        slot = slots[self.table.device]
        order = order_of(slot, self.table.ts, self.state.newest)
        keep = self._take_once(order)
        self._mark(order)
        self._gaps(order, keep)
        np.maximum.at(self.state.newest, slot[keep], self.table.ts[keep])
        self.table = self.table.select(keep)
        self._check_values()
        self._fill(slot[keep])
        return self.table

    def _quarantine(self) -> None:
        table = self.table
        future = table.ts > table.received + FUTURE_MS
        for row in np.flatnonzero(future).tolist():
            reading = self.pack.reading(table, row)
            ahead = (reading.ts - reading.received) / 60_000
            reason = f"event time is {ahead:.0f} minutes after it was received; is the device's clock right?"
            name = text_id("clean", self.pack.ids(table)[row], reading.received)
            body = msgspec.json.encode(reading)
            letter = DeadLetter(
                name, "clean", reason, body, self.ctx.now,
                tenant=reading.tenant, device=reading.device, received=reading.received,
            )  # fmt: skip
            self.outcome.dead.append(letter)
        self.outcome.counts["dead"] += int(future.sum())
        self.table = dataclasses.replace(table.select(~future), flags=table.flags[~future].copy())

    def _take_once(self, order: Order) -> Bools:
        """Which readings are not repetitions; a reading with a known id and other content is a correction.

        A repetition may be of a reading that has been corrected since: a late retry takes no correction back.
        """
        table = self.table
        ids, contents = self.pack.ids(table), content_hashes(table.metrics, table.values)
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

    def _mark(self, order: Order) -> None:
        table = self.table
        tolerance = self._per_reading([max(LATE_INTERVALS * p.interval_ms, LATE_LEAST_MS) for p in self.profiles])
        table.flags[order.late(table.ts, tolerance)] |= Flag.LATE
        table.flags[table.received - table.ts > BACKFILL_MS] |= Flag.BACKFILL

    def _gaps(self, order: Order, keep: Bools) -> None:
        table = self.table
        limit = self._per_reading([max(LATE_INTERVALS * p.interval_ms, GAP_LEAST_MS) for p in self.profiles])
        for row in np.flatnonzero(order.gaps(table.ts, limit) & keep).tolist():
            who, profile = self.pack.devices[table.device[row]], self.profiles[table.device[row]]
            if profile.class_name == GENERIC:
                continue  # nobody has said how often it should send
            ts, since = int(table.ts[row]), int(order.before[row])
            anomaly = Anomaly(
                id=text_id("gap", who.tenant, who.device, since, ts),
                episode=episode_id(who.tenant, who.device, "gap", ts),
                tenant=who.tenant,
                site=who.site,
                device=who.device,
                device_class=profile.class_name,
                detector="gap",
                phase="event",
                ts=ts,
                severity=Severity.INFO,
                summary=f"No readings for {(ts - since) / 60_000:.0f} minutes",
                received=int(table.received[row]),
                since=since,
                bundle=self.ctx.bundle.version,
                backfill=bool(table.flags[row] & Flag.BACKFILL),
                threshold=f"{limit[row] / 60_000:.0f} minutes",
            )
            origin = self.pack.origin_at(table, row)
            self.outcome.emits.append(Emit(RAG_ERROR_REPORTING, self.pack.shard, anomaly, origin))

    def _check_values(self) -> None:
        """Leave out what is outside its range or a sentinel, as the catalogue says of the device's class."""
        table = self.table
        values = table.values
        for profile, rows in self._by_class():
            for j, metric in enumerate(table.metrics):
                spec = profile.metrics.get(metric)
                if spec is None:
                    continue
                column = values[j]
                wrong = rows & ((column < spec.low) | (column > spec.high) | np.isin(column, spec.missing))
                if wrong.any():
                    if values is table.values:
                        values = values.copy()
                    values[j, wrong] = np.nan
                    table.flags[wrong] |= Flag.INVALID
        self.table.values = values

    def _fill(self, slot: Ints) -> None:
        """Where the catalogue says so, a value that is missing becomes the device's last good one, and is marked."""
        table = self.table
        in_time = (table.flags & Flag.LATE) == 0  # what came before a late reading is not known
        for profile, of_class in self._by_class():
            rows = of_class & in_time
            for j, metric in enumerate(table.metrics):
                spec = profile.metrics.get(metric)
                if spec is None or spec.fill is not Fill.LAST:
                    continue
                measured = table.values[j, rows]
                carried = carry_on(slot[rows], measured, self.state.last_values.setdefault(metric, {}))
                filled = np.isnan(measured) & ~np.isnan(carried)
                if filled.any():
                    table.values[j, rows] = carried
                    table.flags[np.flatnonzero(rows)[filled]] |= Flag.FILLED

    def _by_class(self) -> list[tuple[DeviceProfile, Bools]]:
        """For each class in the table that has metrics: one profile of it, and its readings."""
        first: dict[str, DeviceProfile] = {p.class_name: p for p in self.profiles if p.metrics}
        names = np.array([p.class_name for p in self.profiles])
        return [(profile, (names == name)[self.table.device]) for name, profile in first.items()]

    def _per_reading(self, per_device: list[int]) -> Ints:
        return np.array(per_device, np.int64)[self.table.device]
