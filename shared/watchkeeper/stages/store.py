"""store: every reading, with its verdict, into the final series; what is known of each device into its table."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.outcome import ABSENT, BlobPut, Outcome, Put
from watchkeeper.packs import Pack
from watchkeeper.ports import Key
from watchkeeper.records import DeviceRecord, Flag
from watchkeeper.series.assembly import Assembly
from watchkeeper.series.latency import latency_counts
from watchkeeper.series.manifest import STORE_CODEC, KnownDevice, StoreState
from watchkeeper.series.merging import Merging
from watchkeeper.topology import DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.context import Context
    from watchkeeper.outcome import Delivered
    from watchkeeper.packs import Ints
    from watchkeeper.series.section import DeviceKey, Section

__all__ = ["STORE_CODEC", "store"]

REFRESH_MS = 60_000
BEHIND_MS = 3_600_000
"""A device's `last_seen` is at most REFRESH_MS of wall time or, in a backfill, BEHIND_MS of event time behind."""


def store(batch: Sequence[Delivered], ctx: Context) -> Outcome:
    """Each shard's readings become a segment; devices that are new, changed or due are written; the states are updated.

    Counts `stored`, and the latencies from accepted to stored of all but backfills.
    """
    assembly = Assembly()
    for item in batch:
        if isinstance(item.record, Pack):
            assembly.add_pack(item.record)
    by_shard: defaultdict[int, list[Section]] = defaultdict(list)
    for shard, section in assembly.sections(by_time=False):
        by_shard[shard].append(section)
    outcome = Outcome(states=set(by_shard))
    due: list[KnownDevice] = []
    for shard, sections in by_shard.items():
        state: StoreState = ctx.states[shard]
        for section in sections:
            due += _devices(section, assembly, state, ctx)
        merging = Merging(shard, state, ctx.blobs, lambda device: _kept_since(device, ctx))
        merging.append(sections, assembly)
        outcome.blobs += [BlobPut(key, data) for key, data in merging.written.items()]
        outcome.expired += merging.expired
        outcome.counts["stored"] += sum(len(section.ts) for section in sections)
    outcome.puts += _records(due, ctx)
    outcome.counts += latency_counts(_latencies(assembly, ctx.now))
    return outcome


def _kept_since(device: str, ctx: Context) -> int:
    """The event time before which the catalogue lets go of a device's readings, epoch ms."""
    keep_ms = ctx.bundle.catalogue.profile(device).keep_ms
    return ctx.now - keep_ms if keep_ms else 0


def _latencies(assembly: Assembly, now: int) -> Ints:
    """Milliseconds from accepted to now; of backfills nobody waits for, none."""
    pieces = assembly.pieces
    received = np.concatenate([np.empty(0, np.int64), *(piece.received for piece in pieces)])
    flags = np.concatenate([np.empty(0, np.int64), *(piece.flags for piece in pieces)])
    awaited: Ints = received[(flags & Flag.BACKFILL == 0) & (received > 0)]
    return now - awaited


def _devices(section: Section, assembly: Assembly, state: StoreState, ctx: Context) -> Iterator[KnownDevice]:
    """The devices of a section that are to be written, as they are now known."""
    starts = np.cumsum(section.counts) - section.counts
    firsts = np.minimum.reduceat(section.ts, starts).tolist()
    lasts = np.maximum.reduceat(section.ts, starts).tolist()
    metrics = section.metrics
    for key, first, last in zip(section.devices, firsts, lasts, strict=True):
        known, site = state.device(key), assembly.sites.get(key, "")
        if known is None or _due(known, metrics, site, first, last, ctx.now):
            now_known = _updated(known, key, metrics, site, first, last, ctx.now)
            state.know(now_known)
            yield now_known


def _due(known: KnownDevice, metrics: tuple[str, ...], site: str, first: int, last: int, now: int) -> bool:
    changed = site not in ("", known.site) or (metrics != known.metrics and not set(metrics) <= set(known.metrics))
    behind = now - known.written >= REFRESH_MS or last - known.last_seen >= BEHIND_MS
    return changed or behind or first < known.first_seen


def _updated(
    known: KnownDevice | None, key: DeviceKey, metrics: tuple[str, ...], site: str, first: int, last: int, now: int
) -> KnownDevice:
    if known is None:
        return KnownDevice(*key, site, metrics, first, last, now)
    all_metrics = tuple(sorted({*known.metrics, *metrics}))
    first, last = min(first, known.first_seen), max(last, known.last_seen)
    return KnownDevice(*key, site or known.site, all_metrics, first, last, now, known.newest)


def _records(due: Sequence[KnownDevice], ctx: Context) -> Iterator[Put]:
    """Their rows. What a row knows already stays: a worker with an old state takes nothing back."""
    keys = [Key(device.tenant, device.device) for device in due]
    held = ctx.get_many(DEVICES, keys, DeviceRecord) if due else {}
    for key, device in zip(keys, due, strict=True):
        before, version = held.get(key, (None, ABSENT))
        yield Put(DEVICES, *key, _record(device, before, ctx), version)


def _record(device: KnownDevice, before: DeviceRecord | None, ctx: Context) -> DeviceRecord:
    device_class = ctx.bundle.catalogue.profile(device.device).class_name
    metrics, site, first, last = device.metrics, device.site, device.first_seen, device.last_seen
    if before:
        metrics, site = tuple(sorted({*metrics, *before.metrics})), site or before.site
        first, last = min(first, before.first_seen), max(last, before.last_seen)
    return DeviceRecord(device.tenant, device.device, site, device_class, metrics, first, last)
