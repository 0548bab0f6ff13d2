"""What rule_check's stored trends say of the time ahead of a device."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from watchkeeper.checking.foresight import STILL_CONFIDENCE, STILL_SURE, soonest
from watchkeeper.checking.foretold import level_of
from watchkeeper.checking.state import CHECK_CODEC, CheckState
from watchkeeper.forecasting.outlook import best_scale, deviates, outlook, well_known
from watchkeeper.forecasting.trends import MINUTES
from watchkeeper.ids import shard_of
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.knowledge.rules import Rule
from watchkeeper.packs import Floats
from watchkeeper.ports import Blobs
from watchkeeper.records import DeviceRecord
from watchkeeper.states import read_envelope, state_key
from watchkeeper.topology import DATA_PROCESSING_OUTPUT
from watchkeeper_api.schemas import LevelAhead, MetricAhead


def metrics_ahead(
    blobs: Blobs, shards: int, bundle: Bundle, tenant: str, record: DeviceRecord, horizon_ms: int
) -> list[MetricAhead]:
    """Of each metric whose trend is known well enough to say something. StateError: the state cannot be read."""
    state = _state(blobs, shard_of(tenant, record.device, shards))
    slot = state.find(tenant, record.device)
    if slot is None:
        return []
    profile = bundle.catalogue.profile(record.device)
    rules = [
        each for each in bundle.rules.group(profile.class_name, record.site, record.device).rules if each.predicted
    ]
    found = []
    for metric, number in sorted(state.foresight.series_of(slot).items()):
        trend = state.foresight.trends.records[number : number + 1]
        if well_known(trend):
            own = [rule for rule in rules if rule.metric == metric]
            found.append(_ahead(metric, trend, own, profile.time_zone, horizon_ms))
    return found


def _ahead(metric: str, trend: NDArray[np.void], rules: Iterable[Rule], zone: str, horizon_ms: int) -> MetricAhead:
    scale = best_scale(trend, horizon_ms)
    ahead = outlook(trend, scale, horizon_ms)
    levels = [each for rule in rules if (each := _level(rule, trend, ahead.start, zone, horizon_ms))]
    columns: tuple[Floats, ...] = (ahead.expected, ahead.low, ahead.high)
    points = [
        (round(ts), *values)
        for ts, *values in zip(ahead.ts.tolist(), *(column.tolist() for column in columns), strict=True)
    ]
    trend_ms = 0 if scale is None else MINUTES[scale] * 60_000
    return MetricAhead(metric, ahead.start, trend_ms, float(trend["last"][0, 0]), points, levels)


def _level(rule: Rule, trend: NDArray[np.void], start: int, zone: str, horizon_ms: int) -> LevelAhead | None:
    found = soonest(rule, trend, deviates(trend), start, zone, STILL_SURE, STILL_CONFIDENCE, horizon_ms)
    if found is None:
        return None
    late = None if found.late is None else start + found.late
    return LevelAhead(
        rule.id,
        level_of(rule, found),
        start + found.in_ms,
        start + found.early,
        late,
        round(found.confidence, 3),
        rule.summary,
    )


def _state(blobs: Blobs, shard: int) -> CheckState:
    key = state_key("rule_check", DATA_PROCESSING_OUTPUT.name, shard)
    stored = blobs.get_many([key]).get(key)
    return CHECK_CODEC.decode(read_envelope(stored.data, key)[1]) if stored else CHECK_CODEC.empty()
