"""What clean has to tell of a device: a gap in what it sends, a sensor that is stuck, other metrics than before."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from watchkeeper.ids import episode_id, text_id
from watchkeeper.knowledge.durations import format_duration
from watchkeeper.records import Anomaly, MetricView, Severity

if TYPE_CHECKING:
    from watchkeeper.cleaning.sticking import Edge
    from watchkeeper.cleaning.watching import Change
    from watchkeeper.records import Device, Phase

NAMED = 5  # metrics that a summary names
STUCK_RUNBOOK = "sensor-stuck.md"


@dataclasses.dataclass(frozen=True, slots=True)
class Teller:
    """Who is spoken of, by which bundle, and the reading that shows it: its times, and whether it is a backfill."""

    who: Device
    device_class: str
    bundle: str
    received: int
    backfill: bool = False

    def gap(self, ts: int, since: int, limit: int) -> Anomaly:
        """The device was silent between two times."""
        name = text_id("gap", self.who.tenant, self.who.device, since, ts)
        summary = f"No readings for {(ts - since) / 60_000:.0f} minutes"
        limits = f"{limit / 60_000:.0f} minutes"
        return self._anomaly(name, "gap", "event", ts, since, ts, Severity.INFO, summary, threshold=limits)

    def stuck(self, metric: str, edge: Edge, ts: int, shift: int, after: int) -> Anomaly:
        """A sensor is stuck, still is, or is no longer; `shift` is what the edge's own times are to be corrected by."""
        detector, since = f"stuck:{metric}", edge.since + shift
        name = text_id(self.who.tenant, self.who.device, detector, edge.phase, since, ts)
        limit = format_duration(after)
        return self._anomaly(
            name, detector, edge.phase, ts, since, since, Severity.WARNING,
            f"The value of {metric} has not changed for {limit}: is the sensor stuck?",
            metric=metric, metrics={metric: MetricView(edge.value, contribution=1.0)}, runbook=STUCK_RUNBOOK,
            threshold=f"unchanged for {limit}",
        )  # fmt: skip

    def schema(self, change: Change) -> Anomaly:
        """The device sends other metrics than before."""
        name = text_id("schema", self.who.tenant, self.who.device, change.version, change.since)
        said = [f"{what} {_some(names)}" for what, names in (("new:", change.new), ("gone:", change.gone)) if names]
        summary = f"It sends other metrics (schema version {change.version}); {'; '.join(said)}"
        return self._anomaly(
            name, "schema", "event", change.since, change.since, change.since, Severity.INFO, summary,
            count=len(change.new) + len(change.gone),
        )  # fmt: skip

    def _anomaly(  # noqa: PLR0913 - what differs between the kinds
        self, name: str, detector: str, phase: Phase, ts: int, since: int, opened: int, severity: Severity,
        summary: str, *, metric: str = "", metrics: dict[str, MetricView] | None = None, runbook: str = "",
        threshold: str = "", count: int = 1,
    ) -> Anomaly:  # fmt: skip
        who = self.who
        return Anomaly(
            id=name,
            episode=episode_id(who.tenant, who.device, detector, opened),
            tenant=who.tenant,
            site=who.site,
            device=who.device,
            device_class=self.device_class,
            detector=detector,
            phase=phase,
            ts=ts,
            severity=severity,
            summary=summary,
            received=self.received,
            metric=metric,
            metrics=metrics or {},
            since=since,
            count=count,
            runbook=runbook,
            threshold=threshold,
            backfill=self.backfill,
            bundle=self.bundle,
        )


def _some(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest
