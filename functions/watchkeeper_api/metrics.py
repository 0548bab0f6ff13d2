"""What Prometheus is shown."""

import math
from collections.abc import Mapping, Sequence

from watchkeeper import __version__
from watchkeeper.series import latency
from watchkeeper_api.exposition import Exposition
from watchkeeper_api.usage import OUTCOMES, Usage

# Counters by stage: name, what the meter calls it, what one of it is of the unit in the name, and what it is.
STAGE_COUNTERS = (
    ("watchkeeper_stage_busy_seconds_total", "busy_us", 1e-6, "Time a stage spent deciding."),
    ("watchkeeper_stage_invocations_total", "invocations", 1, "Batches, timers and requests a stage took."),
    ("watchkeeper_stage_messages_total", "messages", 1, "Messages a stage took."),
    ("watchkeeper_stage_in_bytes_total", "bytes_in", 1, "Bytes of messages a stage took."),
    ("watchkeeper_stage_out_bytes_total", "bytes_out", 1, "Bytes of messages a stage emitted."),
)


def exposed(usage: Usage, pipeline_status: Mapping[str, object], throttled: int = 0) -> str:
    """The usage, the runtime's lag and workers, and the requests it has refused, in the text format."""
    out = Exposition()
    versions = {"version": __version__, "bundle": usage.bundle, "model": usage.model}
    out.family("watchkeeper_info", "gauge", "Versions in force.", [(versions, 1)])
    _readings(out, usage)
    for name, counted, unit, about in STAGE_COUNTERS:
        samples = [(stage, counts[counted] * unit) for stage, counts in usage.stages.items() if counted in counts]
        out.family(name, "counter", about, _by("stage", samples))
    lag = pipeline_status.get("lag")
    out.family("watchkeeper_lag_messages", "gauge", "Messages that wait for a stage.", _by("stage", _numbers(lag)))
    workers = _numbers({"workers": pipeline_status.get("workers")})
    out.family("watchkeeper_workers", "gauge", "Workers that run.", [({}, count) for _, count in workers])
    about = "Requests refused with 429, since this process began."
    out.family("watchkeeper_throttled_requests_total", "counter", about, [({}, throttled)])
    _latency(out, usage)
    _spending(out, usage)
    _drift(out, usage)
    return out.text()


def _readings(out: Exposition, usage: Usage) -> None:
    counts = usage.readings()
    about = "Readings by what became of them; accepted = stored + dead + deduplicated + shed + those on their way."
    outcomes = [(name, getattr(counts, name)) for name in OUTCOMES]
    out.family("watchkeeper_readings_total", "counter", about, _by("outcome", outcomes))
    anomalies = [(stage, counts["anomalies"]) for stage, counts in usage.stages.items() if "anomalies" in counts]
    out.family(
        "watchkeeper_anomalies_total", "counter", "Anomalies, by the stage that found them.", _by("stage", anomalies)
    )


def _latency(out: Exposition, usage: Usage) -> None:
    bounds = (*(bound / 1000 for bound in latency.BOUNDS), math.inf)
    counts = usage.stages.get("store", {})
    buckets = [(bound, counts.get(name, 0.0)) for bound, name in zip(bounds, latency.NAMES, strict=True)]
    out.histogram("watchkeeper_latency_seconds", "From a reading's receipt to its storage, without backfills.", buckets)


def _spending(out: Exposition, usage: Usage) -> None:
    if usage.spend is None:
        return
    spend = usage.spend
    month = {"month": spend.month}
    out.family("watchkeeper_spend_dollars", "gauge", "What the month has cost so far.", [(month, spend.spent)])
    out.family("watchkeeper_spend_forecast_dollars", "gauge", "What it will have cost.", [(month, spend.forecast)])
    out.family("watchkeeper_budget_dollars", "gauge", "What it may cost.", [(month, spend.budget)])
    per_stage = _by("stage", list(spend.per_stage.items()))
    out.family("watchkeeper_stage_spend_dollars", "gauge", "What each stage has cost this month.", per_stage)


def _drift(out: Exposition, usage: Usage) -> None:
    report = usage.drift
    if report is None:
        return
    out.family("watchkeeper_drift_compared_series", "gauge", "Series compared.", [({}, report.series)])
    about = "Series that have drifted from what the model learnt from."
    out.family("watchkeeper_drifted_series", "gauge", about, [({}, report.drifted)])
    about = "Episodes a device opens in a week, by the last day."
    out.family("watchkeeper_openings_per_device_week", "gauge", about, [({}, report.openings_a_week)])
    if report.precision:
        about = "Share of the model's reviewed episodes that were confirmed, of the last week that has reviews."
        out.family("watchkeeper_reviewed_precision_ratio", "gauge", about, [({}, report.precision[-1].share)])


def _by(label: str, samples: Sequence[tuple[str, float]]) -> list[tuple[dict[str, str], float]]:
    return [({label: name}, value) for name, value in sorted(samples)]


def _numbers(held: object) -> list[tuple[str, float]]:
    """What is a number in something a runtime said, by name."""
    if not isinstance(held, Mapping):
        return []
    return [(str(name), float(value)) for name, value in held.items() if isinstance(value, int | float)]
