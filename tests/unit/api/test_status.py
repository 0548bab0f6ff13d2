import dataclasses
import math
import re

import msgspec
import pytest

from tests.unit.api.conftest import NOW
from watchkeeper import __version__
from watchkeeper.errors import Unavailable
from watchkeeper.model_drift import REPORT, DriftReport, MetricDrift, Precision
from watchkeeper.pipeline import PIPELINE
from watchkeeper.published import CURRENT_CUTOFF
from watchkeeper.records import Cutoff, Spend, Switches
from watchkeeper.topology import CUTOFFS, SPEND
from watchkeeper_api.exposition import Exposition
from watchkeeper_api.schemas import ModelDrift, Status

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)+\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class DownTables:
    """Tables that cannot be reached."""

    def get_many(self, table, keys):
        raise Unavailable("10.0.0.3 does not answer")


def parse(text):
    """Families by name: their type, and samples by name and labels. Fails on any line that is not of the format."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in families
            families[current] = ["", {}]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            families[name][0] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert current
            assert match[1] in {current, f"{current}_bucket", f"{current}_count", f"{current}_sum"}
            labels = tuple(LABEL.findall(match[2] or ""))
            assert (match[1], labels) not in families[current][1]
            families[current][1][match[1], labels] = float(match[3])
    return families


@pytest.fixture
def counted(ports, keep):
    ports.meter.add(
        "2026-01-31", "ingest", {"accepted": 100, "dead": 2, "shed": 3, "busy_us": 1_500_000, "bytes_in": 7}
    )
    ports.meter.add("2026-02-01", "ingest", {"accepted": 50})
    ports.meter.add("2026-02-01", "clean", {"dead": 1, "deduplicated": 4, "busy_us": 500_000})
    latencies = {"latency_le_5": 10, "latency_le_10": 20, "latency_le_inf": 120}
    ports.meter.add("2026-02-01", "store", {"stored": 120} | {f"latency_le_{b}": 120 for b in (20, 50)} | latencies)
    ports.meter.add("2026-02-01", "rule_check", {"anomalies": 5})
    ports.meter.add("2026-02-01", "ml_score", {"anomalies": 2})
    keep(SPEND, "2026-09", "-", Spend("2026-09", 12.5, 80.0, 100.0, "ok", {"ingest": 2.5, 'odd"\\\n': 1.0}, NOW))
    keep(CUTOFFS, *CURRENT_CUTOFF, Cutoff("degrade", now=Switches(model_calls=False)))


@pytest.fixture
def api(make_api):
    return make_api(pipeline_status=lambda: {"lag": {"clean": 17, "store": 0}, "workers": 2, "mode": "local"})


def test_health_says_ok_and_the_version(api):
    answer = api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})


def test_health_is_a_503_while_storage_is_away(make_api, ports):
    answer = make_api(ports=dataclasses.replace(ports, tables=DownTables())).get("/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert "10.0.0.3" not in answer.text


def test_status_counts_readings_over_all_days_and_stages(api, counted):
    told = msgspec.json.decode(api.get("/api/status").content, type=Status)
    readings = told.readings
    assert (readings.accepted, readings.stored, readings.dead) == (150, 120, 3)
    assert (readings.deduplicated, readings.shed, readings.in_flight) == (4, 3, 20)
    assert told.anomalies == 7
    assert (told.version, told.now, told.bundle) == (__version__, NOW, api.backend.published.bundle.version)


def test_status_tells_latency_budget_and_what_the_runtime_says(api, counted):
    told = msgspec.json.decode(api.get("/api/status").content, type=Status)
    assert told.latency_ms.p50
    assert 10 < told.latency_ms.p50 < told.latency_ms.p95 < told.latency_ms.p99 <= 20
    assert told.budget.spend
    assert (told.budget.spend.spent, told.budget.cutoff.level) == (12.5, "degrade")
    assert told.pipeline == {"lag": {"clean": 17, "store": 0}, "workers": 2, "mode": "local"}


def test_status_of_an_empty_deployment_has_no_latency_and_no_spending(api):
    told = api.get("/api/status").json()
    assert told["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert (told["budget"]["spend"], told["model"]) == (None, "")


def test_drift_is_told_once_it_was_looked_at_and_names_no_metric(api, ports):
    assert api.get("/api/status").json()["drift"] is None
    assert "watchkeeper_drifted_series" not in api.get("/metrics").text
    moved = (MetricDrift("secret", 0.9, 10, 4),)
    report = DriftReport(NOW, "m-1", 10, 4, moved, 0.01, 3, 1.5, (Precision("2026-09-14", 3, 1),))
    ports.blobs.put(REPORT, msgspec.json.encode(report))
    told = msgspec.json.decode(api.get("/api/status").content, type=Status).drift
    assert told == ModelDrift(NOW, "m-1", 10, 4, 0.01, 2.0, 0.4, [Precision("2026-09-14", 3, 1)])
    assert "secret" not in api.get("/api/status").text
    text = api.get("/metrics").text
    assert "watchkeeper_drifted_series 4" in text
    assert "watchkeeper_openings_per_device_week 2" in text
    assert "watchkeeper_reviewed_precision_ratio 0.75" in text


def test_the_pipeline_is_shown_as_its_table_says(api):
    stages = api.get("/api/pipeline").json()["stages"]
    assert [stage["name"] for stage in stages] == [stage.name for stage in PIPELINE]
    by_name = {stage["name"]: stage for stage in stages}
    assert by_name["clean"]["on"] == ["iot-data-ingestion", "batch-data-ingestion"]
    assert any(trigger.startswith("every ") for trigger in by_name["notify"]["on"])


@pytest.mark.usefixtures("counted")
def test_every_line_of_the_metrics_is_of_the_prometheus_format(api):
    answer = api.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = parse(answer.text)
    assert all(kind in {"counter", "gauge", "histogram"} and samples for kind, samples in families.values())
    for name, (kind, _) in families.items():
        assert name.endswith("_total") == (kind == "counter")


@pytest.mark.usefixtures("counted")
def test_metrics_say_what_was_counted(api):
    families = parse(api.get("/metrics").text)

    def value(name, **labels):
        return families[name][1][name, tuple(labels.items())]

    assert value("watchkeeper_readings_total", outcome="accepted") == 150
    assert value("watchkeeper_readings_total", outcome="dead") == 3
    assert value("watchkeeper_anomalies_total", stage="ml_score") == 2
    assert value("watchkeeper_stage_busy_seconds_total", stage="ingest") == 1.5
    assert value("watchkeeper_lag_messages", stage="clean") == 17
    assert value("watchkeeper_workers") == 2
    assert value("watchkeeper_spend_dollars", month="2026-09") == 12.5
    assert value("watchkeeper_stage_spend_dollars", stage=r"odd\"\\\n") == 1.0


@pytest.mark.usefixtures("counted")
def test_the_latency_histogram_never_falls_and_ends_with_its_count(api):
    kind, samples = parse(api.get("/metrics").text)["watchkeeper_latency_seconds"]
    buckets = [(float(labels[0][1]), count) for (name, labels), count in samples.items() if name.endswith("_bucket")]
    assert kind == "histogram"
    assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
    assert buckets[:2] == [(0.005, 10), (0.01, 20)]
    assert buckets[-1] == (math.inf, samples["watchkeeper_latency_seconds_count", ()]) == (math.inf, 120)


def test_metrics_of_an_empty_deployment_are_of_the_format_too(make_api):
    assert parse(make_api().get("/metrics").text)["watchkeeper_readings_total"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (2.5, "2.5"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e300, "1e+300")],
)
def test_numbers_are_written_as_prometheus_reads_them(value, text):
    out = Exposition()
    out.family("x", "gauge", "two\nlines \\", [({}, value)])
    assert out.text() == f"# HELP x two\\nlines \\\\\n# TYPE x gauge\nx {text}\n"


def test_a_runtime_that_cannot_be_asked_is_a_503(make_api):
    def away():
        raise Unavailable("the broker is away")

    assert make_api(pipeline_status=away).get("/api/status").status_code == 503


def test_an_error_nobody_expected_is_a_500_of_the_same_shape_and_says_nothing_of_the_inside(make_api):
    def broken():
        raise ZeroDivisionError("secret")

    answer = make_api(pipeline_status=broken).get("/api/status")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/ingest/batch", 405, "method_not_allowed"),
        ("GET", "/docs", 404, "not_found"),
    ],
)
def test_routes_that_are_not_there_are_refused_in_the_same_shape(api, method, path, status, code):
    answer = api.ask(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
