"""What is said of a prediction: that a metric is on its way to a rule's level, when it will be there, and how sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.ids import episode_id, text_id
from watchkeeper.records import Anomaly, Flag, MetricView, Severity

if TYPE_CHECKING:
    from watchkeeper.checking.foresight import Foreseen
    from watchkeeper.forecasting.outlook import Crossing
    from watchkeeper.knowledge.rules import Rule
    from watchkeeper.records import Device

DAY_MS = 86_400_000
UNITS = (("day", DAY_MS), ("hour", 3_600_000), ("minute", 60_000))
LOWER = {
    Severity.EMERGENCY: Severity.CRITICAL,
    Severity.CRITICAL: Severity.WARNING,
    Severity.WARNING: Severity.INFO,
    Severity.INFO: Severity.INFO,
}
"""What is yet to come is one degree less severe than what is here."""


def foretold(foreseen: Foreseen, who: Device, class_name: str, bundle: str) -> Anomaly:
    """The anomaly that an edge of a prediction makes."""
    rule, table, row, crossing = foreseen.rule, foreseen.table, foreseen.row, foreseen.crossing
    detector, ts = f"forecast:{rule.id}", int(table.ts[row])
    metric = rule.metric or ""
    value = float(table.values[table.metrics.index(metric), row])
    level = level_of(rule, crossing) if crossing else None
    above = crossing is not None and level == rule.fire_high
    view = MetricView(value, low=None if above else level, high=level if above else None, contribution=1.0)
    return Anomaly(
        id=text_id(who.tenant, who.device, detector, foreseen.edge, foreseen.since, ts),
        episode=episode_id(who.tenant, who.device, detector, foreseen.since),
        tenant=who.tenant,
        site=who.site,
        device=who.device,
        device_class=class_name,
        detector=detector,
        phase=foreseen.edge,
        ts=ts,
        severity=LOWER[rule.severity],
        summary=_said(foreseen, metric),
        received=int(table.received[row]),
        metric=metric,
        metrics={metric: view},
        score=round(crossing.confidence, 3) if crossing else 0.0,
        confidence=round(crossing.confidence, 3) if crossing else 0.0,
        since=foreseen.since,
        runbook=rule.runbook,
        threshold=rule.threshold(),
        backfill=bool(table.flags[row] & Flag.BACKFILL),
        bundle=bundle,
    )


def _said(foreseen: Foreseen, metric: str) -> str:
    crossing = foreseen.crossing
    if crossing is None:
        return f"{metric} has come to the level foretold" if foreseen.past else f"{metric} is no longer on its way"
    level = level_of(foreseen.rule, crossing)
    way, moves = ("above", "rising") if level == foreseen.rule.fire_high else ("below", "falling")
    late = f"between {in_words(crossing.early)} and {in_words(crossing.late)}" if crossing.late else None
    band = f" ({late or f'not before {in_words(crossing.early)}'})"
    return (
        f"{foreseen.rule.summary} in {in_words(crossing.in_ms)}{band}: {metric} is {crossing.level:.4g}, {moves} by "
        f"{abs(crossing.rate):.3g} a day, and will be {way} {level:g}; {crossing.confidence:.0%} sure"
    )


def in_words(ms: int) -> str:
    """A time as people say it, in the largest unit that it has two of: `3 days`, `40 minutes`."""
    name, size = next(((name, size) for name, size in UNITS if ms >= 2 * size), UNITS[-1])
    count = max(round(ms / size), 1)
    return f"{count} {name}{'s' if count > 1 else ''}"


def level_of(rule: Rule, crossing: Crossing) -> float:
    """The level of the rule that is crossed."""
    return rule.fire_high if crossing.rate > 0 else rule.fire_low
