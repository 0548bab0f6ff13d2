"""The demo's last page: what became of every reading, which faults were found, and each alert with its explanation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Self

from watchkeeper.series.latency import percentile
from watchkeeper_local.status import fetch

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from watchkeeper_local.demo.live import Live
    from watchkeeper_local.sources.faults import Fault

EARLY_MS = 1_500  # a detector may see a ramp in the second before its label says so: clocks are read twice
AFTERMATH_MS = 180_000  # a bearing stays hot after the wear is repaired: alerts then belong to the fault


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What the API says after the live part, held against what was injected."""

    status: dict[str, Any]
    alerts: list[dict[str, Any]]
    faults: Sequence[Fault]
    latencies: Counter[str]  # of the live part only

    @classmethod
    def gather(cls, url: str, live: Live, latencies: Counter[str]) -> Self:
        """Ask the API."""
        alerts = fetch(url, "/api/alerts?limit=500")["alerts"]
        paging = [alert for alert in alerts if alert["pages"]]
        return cls(fetch(url, "/api/status"), sorted(paging, key=lambda a: a["opened"]), live.faults, latencies)

    def alerts_of(self, fault: Fault) -> list[dict[str, Any]]:
        """The alerts that a fault explains: on its device, from its beginning until its aftermath."""
        first, last = fault.start_ms - EARLY_MS, fault.end_ms + AFTERMATH_MS
        return [a for a in self.alerts if a["device"] == fault.device and first <= a["opened"] <= last]

    @property
    def false_alerts(self) -> list[dict[str, Any]]:
        """Alerts that no fault explains."""
        explained = {alert["id"] for fault in self.faults for alert in self.alerts_of(fault)}
        return [alert for alert in self.alerts if alert["id"] not in explained]

    @property
    def lost(self) -> int:
        """Readings that were accepted and are nowhere."""
        counts = self.status["readings"]
        return int(counts["accepted"] - sum(counts[n] for n in ("stored", "dead", "deduplicated", "shed")))


def print_report(findings: Findings) -> int:
    """Print it; answers 1 if a reading was lost."""
    print("\nAlerts and their explanations\n")
    for alert in findings.alerts:
        _print_alert(alert)
    if not findings.alerts:
        print("  none\n")
    print("Faults that were injected\n")
    for fault in findings.faults:
        alerts = findings.alerts_of(fault)
        if alerts:
            delay = max(0, alerts[0]["opened"] - fault.start_ms) / 1000
            cited = {source["file"] for a in alerts for source in (a["report"] or {}).get("sources", ())}
            said = f"found after {delay:4.1f} s by {alerts[0]['detector']}"
            said += (
                f"; cites {fault.expected_runbook}"
                if fault.expected_runbook in cited
                else f"; cites {', '.join(sorted(cited))}"
            )
        else:
            said = "missed"
        print(f"  {fault.kind:<15} {fault.device:<20} {said}")
    print()
    for name, value in _figures(findings):
        print(f"  {name:<34} {value:>10}")
    if findings.lost:
        print(f"\n{findings.lost} readings were accepted and are neither stored, dead, deduplicated nor shed.")
    return 1 if findings.lost else 0


def _figures(findings: Findings) -> list[tuple[str, object]]:
    counts = findings.status["readings"]
    found = sum(bool(findings.alerts_of(fault)) for fault in findings.faults)
    waits = sorted(alert["sent"] - alert["received"] for alert in findings.alerts if alert["received"])
    rows: list[tuple[str, object]] = [
        (name, counts[name]) for name in ("accepted", "stored", "dead", "deduplicated", "shed")
    ]
    rows += [
        ("lost", findings.lost),
        ("anomalies", findings.status["anomalies"]),
        ("alerts", len(findings.alerts)),
        ("faults injected", len(findings.faults)),
        ("faults found", found),
        ("faults missed", len(findings.faults) - found),
        ("false alerts", len(findings.false_alerts)),
    ]
    for share in (0.50, 0.95, 0.99):
        took = percentile(findings.latencies, share)
        rows.append((f"accepted to stored, p{100 * share:.0f}, ms", "-" if took is None else f"{took:.0f}"))
    rows.append(("accepted to alert, slowest, ms", waits[-1] if waits else "-"))
    return rows


def _print_alert(alert: dict[str, Any]) -> None:
    report = alert["report"] or {}
    print(f"  {alert['severity'].upper()}  {alert['title']}  [{alert['detector']}, {alert['status']}]")
    print(f"    what    {report.get('what', '')}")
    for name, key, most in (("cause", "causes", 2), ("do", "steps", 2)):
        for text in report.get(key, ())[:most]:
            print(f"    {name:<7} {text}")
    sources = dict.fromkeys(f"{source['file']} ({source['heading']})" for source in report.get("sources", ()))
    print(f"    source  {', '.join(sources)}\n")
