"""What people are told about Watchkeeper itself: each alarm as data, before it is a resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.records import Severity
from watchkeeper.topology import DEAD_LETTER
from watchkeeper_infra.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper_infra.azure.site import Site

P95_SHARE = 0.8  # of a function's time limit
CANARY_MINUTES = 30
STREAM, TABLES, HUB = (
    "Microsoft.EventHub/namespaces",
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.Devices/IotHubs",
)


COUNTS = """AppTraces | where Message startswith '{"function":' | extend told = parse_json(Message)"""
"""What each invocation has counted, which its app says in one line when it ends."""

ALERTS = """AppTraces | where Message startswith '{"alert":' | extend told = parse_json(Message)"""
"""What notify has said of new and changed alerts, a line each."""
TOLD_APART = ("alert", "status", "severity", "tenant", "device", "title")  # Azure takes six at most
LOSES = ("hub-dropped", "hub-orphaned")
"""Alarms of what is lost for good."""


class Criterion(NamedTuple):
    """A metric of a service above (or, with `below`, under) a threshold; `only` is a dimension with its value."""

    metric: str
    threshold: float = 0
    statistic: str = "Total"
    only: tuple[str, str] | None = None
    below: bool = False


class MetricAlarm(NamedTuple):
    """People are told when all criteria hold of a service in a stretch of minutes."""

    name: str
    about: str
    service: str
    criteria: tuple[Criterion, ...]
    minutes: int = 5
    severity: Severity = Severity.WARNING


class QueryAlarm(NamedTuple):
    """People are told when a question to the logs has rows in some minutes; `silent_is_bad`: when it has none.

    `apart`: columns whose values are told apart, each of them as an alarm of its own.
    """

    name: str
    about: str
    query: str
    minutes: int = 5
    silent_is_bad: bool = False
    severity: Severity = Severity.WARNING
    apart: tuple[str, ...] = ()


def metric_alarms(site: Site) -> Iterator[MetricAlarm]:
    """Of what the services count themselves."""
    for name, about, service, criterion in (
        (
            "dead-letters",
            "something could not be taken: `watchkeeper dead-letters list`",
            STREAM,
            Criterion("IncomingMessages", only=("EntityName", DEAD_LETTER.name)),
        ),
        (
            "stream-throttles",
            "Event Hubs refuse what comes: raise throughputUnitsAtMost",
            STREAM,
            Criterion("ThrottledRequests"),
        ),
        ("stream-errors", "Event Hubs fail", STREAM, Criterion("ServerErrors")),
        (
            "tables-throttles",
            "Cosmos DB refuses what comes: raise cosmosUnits, or take autoscale",
            TABLES,
            Criterion("TotalRequests", statistic="Count", only=("StatusCode", "429")),
        ),
        (
            "hub-dropped",
            "telemetry does not reach the stream and is lost: has the hub's identity its right to the stream?",
            HUB,
            Criterion("d2c.telemetry.egress.dropped"),
        ),
        ("hub-orphaned", "telemetry has no way", HUB, Criterion("d2c.telemetry.egress.orphaned")),
        (
            "hub-invalid",
            "a device's message is none that the stream takes",
            HUB,
            Criterion("d2c.telemetry.egress.invalid"),
        ),
        (
            "hub-throttles",
            "devices send more than the hub's units take",
            HUB,
            Criterion("d2c.telemetry.ingress.sendThrottle"),
        ),
    ):
        severity = Severity.CRITICAL if name in LOSES else Severity.WARNING
        yield MetricAlarm(name, about, service, (criterion,), severity=severity)
    for function in FUNCTIONS.values():
        for topic in function.topics:
            about = f"{function.name} takes nothing of {topic.name}, and readings wait"
            yield MetricAlarm(
                f"{function.name}-{topic.name}-stalled",
                about,
                STREAM,
                _stalled(topic.name),
                site.config.lag_minutes,
                Severity.CRITICAL,
            )


def query_alarms(site: Site) -> Iterator[QueryAlarm]:
    """Of what the apps say."""
    for name, function in FUNCTIONS.items():
        own = requests_of(site, name)
        yield QueryAlarm(f"{name}-errors", f"{name} fails", f"{own} | where Success == false")
        limit_ms = P95_SHARE * function.timeout_s * 1000
        slow = f"summarize slow = percentile(DurationMs, 95) by OperationName | where slow > {limit_ms:.0f}"
        yield QueryAlarm(f"{name}-p95", f"{name} needs nearly all of the time that it may", f"{own} | {slow}", 15)
    limit_ms = site.config.lag_minutes * 60_000
    behind = f"{COUNTS} | extend lag = tolong(told.counts.lag_ms) | where lag > {limit_ms}"
    yield QueryAlarm("lag", "readings are late: a stage is behind", f"{behind} | project AppRoleName, lag")
    if site.config.canary_key:
        yield QueryAlarm(
            "canary-silent",
            "nothing is stored, not even the canary's readings: the pipeline does not flow",
            f"{COUNTS} | where AppRoleName =~ '{site.unique('store')}' and tolong(told.counts.stored) > 0",
            CANARY_MINUTES,
            silent_is_bad=True,
            severity=Severity.CRITICAL,
        )


def device_alarms(site: Site) -> Iterator[QueryAlarm]:
    """Of what notify has said of alerts about devices: one for each severity that has people to be told."""
    for severity in Severity:
        if site.config.alert_emails.get(severity):
            query = f"{ALERTS} | where tostring(told.severity) == '{severity}' and tobool(told.pages)"
            columns = ", ".join(f"{name} = tostring(told.{name})" for name in TOLD_APART)
            about = f"an alert about a device is {severity}"
            yield QueryAlarm(
                f"alerts-{severity}", about, f"{query} | project {columns}", severity=severity, apart=TOLD_APART
            )


def requests_of(site: Site, stage: str) -> str:
    """What an app was asked to do, in the words of the logs."""
    return f"AppRequests | where AppRoleName =~ '{site.unique(stage)}'"


def _stalled(hub: str) -> tuple[Criterion, ...]:
    """Event Hubs do not say how far behind a reader is; they do say that a hub was written to and not read from."""
    only = ("EntityName", hub)
    return Criterion("IncomingMessages", only=only), Criterion("OutgoingMessages", 1, only=only, below=True)
