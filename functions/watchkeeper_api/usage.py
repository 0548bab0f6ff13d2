"""What has been counted and spent so far: what both `/api/status` and `/metrics` are made from."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime

from watchkeeper.model_drift import DriftReport, latest_drift
from watchkeeper.ports import Key
from watchkeeper.published import current_cutoff
from watchkeeper.records import Cutoff, Spend
from watchkeeper.series.latency import percentile
from watchkeeper.topology import SPEND
from watchkeeper_api.backend import Backend
from watchkeeper_api.rows import one
from watchkeeper_api.schemas import Latency, ReadingCounts

OUTCOMES = ("accepted", "stored", "dead", "deduplicated", "shed")
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """One look at the meter and the budget. `stages`: since the beginning, by stage and name of what was counted."""

    stages: Mapping[str, Mapping[str, float]]
    spend: Spend | None
    cutoff: Cutoff
    bundle: str
    model: str
    drift: DriftReport | None

    def total(self, name: str) -> float:
        """What was counted under a name, over all stages."""
        return sum(counts.get(name, 0.0) for counts in self.stages.values())

    def readings(self) -> ReadingCounts:
        """What became of the readings; `in_flight` is what is left of them."""
        counts = {name: int(self.total(name)) for name in OUTCOMES}
        in_flight = counts["accepted"] - sum(counts[name] for name in OUTCOMES[1:])
        return ReadingCounts(**counts, in_flight=max(0, in_flight))

    def latency(self) -> Latency:
        """How long readings took from receipt to storage."""
        counts = self.stages.get("store", {})
        return Latency(*(percentile(counts, q) for q in (0.50, 0.95, 0.99)))


def usage_of(backend: Backend) -> Usage:
    """Look now."""
    now = backend.clock()
    backend.published.refresh(now)
    month = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m")
    model = backend.published.model
    return Usage(
        stages=backend.ports.meter.total(FIRST_DAY, LAST_DAY),
        spend=one(backend.ports.tables, SPEND, Key(month, "-"), Spend),
        cutoff=current_cutoff(backend.ports.tables),
        bundle=backend.published.bundle.version,
        model=model.version if model else "",
        drift=latest_drift(backend.ports.blobs),
    )
