"""The quality of a device's readings, put together from what each of its topics and sets of metrics has shown."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from watchkeeper.ports import Tables
from watchkeeper.records import QualityRecord
from watchkeeper.topology import QUALITY
from watchkeeper_api.rows import LATEST_MS
from watchkeeper_api.schemas import MetricScore, QualitySpan

SETS = 64  # records of one span that are looked at for the latest quality
MOST_SPANS = 1_000
MOST_RECORDS = 20_000


def spans_of(tables: Tables, tenant: str, device: str, start: int, end: int) -> list[QualitySpan]:
    """The spans that began from `start` up to, and without, `end` (epoch ms); the oldest MOST_SPANS of them."""
    low, high = f"{device}/{start:013d}", f"{device}/{min(end, LATEST_MS):013d}"
    rows = tables.query(QUALITY.name, tenant, low, high, limit=MOST_RECORDS)
    by_start: defaultdict[int, list[QualityRecord]] = defaultdict(list)
    for row in rows:
        record = msgspec.json.decode(row.value, type=QualityRecord)
        by_start[record.start].append(record)
    found: list[QualitySpan] = []
    for began, records in sorted(by_start.items()):
        found += _silent(found[-1], began) if found else ()
        found.append(_together(began, records))
        if len(found) >= MOST_SPANS:
            break
    return found[:MOST_SPANS]


def latest_share(tables: Tables, tenant: str, device: str) -> float | None:
    """The share of good readings in the last span that is over; None: none is."""
    rows = tables.query(QUALITY.name, tenant, f"{device}/", f"{device}0", limit=SETS, descending=True)
    records = [msgspec.json.decode(row.value, type=QualityRecord) for row in rows]
    latest = [record for record in records if record.start == records[0].start]
    return _together(latest[0].start, latest).share if latest else None


def _silent(before: QualitySpan, began: int) -> Iterable[QualitySpan]:
    """The spans between two in which nothing came, of a device that should have reported."""
    if not before.expected:
        return
    whole = before.span_ms
    names = {name: MetricScore(0.0, 0, 0, 0, 0, 0) for name in before.metrics}
    for start in range(before.start + whole, min(began, before.start + MOST_SPANS * whole), whole):
        yield QualitySpan(start, whole, before.expected, 0, 0.0, before.skew_ms, names)


def _together(start: int, records: list[QualityRecord]) -> QualitySpan:
    expected = max(record.expected for record in records)
    names = sorted({name for record in records for name in record.metrics})
    metrics = {}
    for name in names:
        parts = [
            (record.readings, *msgspec.structs.astuple(record.metrics[name]))
            for record in records
            if name in record.metrics
        ]
        readings, valid, stuck, filled, good = (sum(column) for column in zip(*parts, strict=True))
        share = round(good / max(expected, readings, 1), 4)
        metrics[name] = MetricScore(share, readings, valid, stuck, filled, good)
    share = round(sum(score.share for score in metrics.values()) / max(len(metrics), 1), 4)
    skew = max((record.skew_ms for record in records), key=abs)
    return QualitySpan(start, records[0].span_ms, expected, sum(r.late for r in records), share, skew, metrics)
