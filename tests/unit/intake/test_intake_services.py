"""Prometheus text, OpenMetrics and OTLP as readings."""

import math
import subprocess
import sys

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

from watchkeeper.errors import DecodeError
from watchkeeper.intake.bodies import readings_of
from watchkeeper.intake.sent import MAX_METRICS, Bad, fault_of
from watchkeeper.intake.services import MOST_SERIES, device_id, metric_name, quantiles

TS = 1_709_294_400_000
NS = TS * 1_000_000
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


def registry():
    held = CollectorRegistry()
    requests = Counter("requests", "R.", ["code"], registry=held)
    requests.labels("200").inc(5)
    requests.labels("500").inc()
    Gauge("queue", "Q.", registry=held).set(7)
    Gauge("unset", "U.", registry=held).set(math.nan)
    latency = Histogram("latency", "L.", buckets=[0.1, 1.0], registry=held)
    for value in (0.05, 0.05, 0.5, 5.0):
        latency.observe(value)
    Summary("size", "S.", registry=held).observe(3)
    Info("build", "B.", registry=held).info({"version": "1.2"})
    return held


@pytest.mark.parametrize(("form", "write"), [("prometheus", generate_latest), ("openmetrics", generate_open_metrics)])
def test_what_a_client_of_prometheus_writes_is_one_reading(form, write):
    (reading,) = readings_of(write(registry()), form, "checkout")
    assert (reading.device, reading.ts, reading.tags) == ("checkout", None, {"version": "1.2"})
    expected = {
        'requests_total{code="200"}': 5, 'requests_total{code="500"}': 1, "queue": 7, "latency_count": 4,
        "latency_sum": 5.6, "latency_mean": 1.4, "latency_p50": 0.1, "latency_p95": 1.0, "latency_p99": 1.0,
        "size_count": 1, "size_sum": 3,
    }  # fmt: skip
    assert reading.values == pytest.approx(expected)


def test_samples_say_whose_they_are_and_when():
    text = b'a{job="web",instance="h1:80"} 1 1709294400000\na{job="web",instance="h2:80"} 2\na 3\n'
    first, second, bad = readings_of(text, "prometheus")
    assert (first.device, first.ts, first.values) == ("web:h1:80", TS, {"a": 1})
    assert (second.device, second.ts, second.values) == ("web:h2:80", None, {"a": 2})
    assert "job and instance" in bad.reason


def test_a_line_that_cannot_be_read_is_bad_alone():
    good, bad = readings_of(b"# TYPE a counter\na_total 1\nb 2 3 4 5 {\nc 3\n", "prometheus", "d")
    assert good.values == {"a_total": 1, "c": 3}
    assert bad.body == b"b 2 3 4 5 {"


def test_openmetrics_that_does_not_end_is_refused_as_a_whole():
    with pytest.raises(DecodeError, match="OpenMetrics"):
        readings_of(b"a 1\n", "openmetrics", "d")


def test_values_that_are_not_finite_are_missing():
    (reading,) = readings_of(b"a NaN\nb +Inf\nc -Inf\nd 1\n", "prometheus", "d")
    assert reading.values == {"d": 1}


def test_more_series_than_a_reading_holds_make_several_and_far_too_many_are_refused():
    text = "".join(f'a{{id="{i}"}} {i} {TS}\n' for i in range(MOST_SERIES + 3)).encode()
    found = readings_of(text, "prometheus", "d")
    good = [r for r in found if not isinstance(r, Bad)]
    assert [r.ts - TS for r in good] == list(range(MOST_SERIES // MAX_METRICS))
    assert sum(len(r.values) for r in good) == MOST_SERIES
    assert not any(fault_of(r) for r in good)
    assert ["is one of its labels an id?" in r.reason for r in found if isinstance(r, Bad)] == [True] * 3


@pytest.mark.parametrize("labels", [{"a": "x" * 300}, {"a": "x" * 299 + "y"}, {"a\n": "\x00é"}])
def test_names_fit_and_stay_apart(labels):
    name = metric_name("metric", labels)
    assert len(name) <= 128
    assert name.isprintable()
    assert metric_name("metric", {"a": "x" * 300}) != metric_name("metric", {"a": "x" * 299 + "y"})


def test_devices_are_ids():
    assert device_id("shop", "check out/2", "a:1") == "shop:check-out-2:a:1"
    assert device_id("", "..") == ""
    assert len(device_id("x" * 300)) == 128


def test_quantiles_lie_within_their_bucket():
    assert quantiles([1, 2, 4], [0, 10, 0, 0])["p50"] == 1.5
    assert quantiles([1, 2], [0, 0, 5]) == {"p50": 2, "p95": 2, "p99": 2}
    assert quantiles([1], [0, 0]) == quantiles([], [3]) == {}


def request_of(*metrics, **attributes):
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    for key, value in (attributes or {"service.name": "checkout"}).items():
        of_resource.resource.attributes.add(key=key).value.string_value = value
    of_resource.scope_metrics.add().metrics.extend(metrics)
    return request


def number(name, kind, value, *, start=NS - 10_000_000_000, temporality=CUMULATIVE, monotonic=True, **labels):
    metric = Metric(name=name)
    data = getattr(metric, kind)
    point = data.data_points.add(time_unix_nano=NS, start_time_unix_nano=start, as_double=value)
    for key, label in labels.items():
        point.attributes.add(key=key).value.string_value = label
    if kind == "sum":
        data.aggregation_temporality, data.is_monotonic = temporality, monotonic
    return metric


def histogram(temporality):
    metric = Metric(name="latency")
    metric.histogram.aggregation_temporality = temporality
    metric.histogram.data_points.add(
        time_unix_nano=NS, start_time_unix_nano=NS - 10_000_000_000, count=4, sum=8.0,
        explicit_bounds=[1.0, 2.0], bucket_counts=[0, 4, 0],
    )  # fmt: skip
    return metric


def read(request, *, as_json=False):
    if as_json:
        return readings_of(json_format.MessageToJson(request).encode(), "otlp-json")
    return readings_of(request.SerializeToString(), "otlp")


@pytest.mark.parametrize("as_json", [False, True])
def test_points_of_a_service_at_one_time_are_one_reading(as_json):
    request = request_of(
        number("queue", "gauge", 3, line="A"), number("done", "sum", 40), number("kept_total", "sum", 2),
        number("added", "sum", 40, temporality=DELTA), number("open", "sum", -2, monotonic=False),
        histogram(CUMULATIVE),
        **{"service.name": "checkout", "service.instance.id": "a1", "host.name": "h"},
    )  # fmt: skip
    (reading,) = read(request, as_json=as_json)
    assert (reading.device, reading.ts, reading.tags) == ("checkout:a1", TS, {"host.name": "h"})
    expected = {
        'queue{line="A"}': 3, "done_total": 40, "kept_total": 2, "added_per_second": 4, "open": -2,
        "latency_count": 4, "latency_sum": 8, "latency_mean": 2, "latency_p50": 1.5, "latency_p95": 1.95,
        "latency_p99": 1.99,
    }  # fmt: skip
    assert reading.values == pytest.approx(expected)


@pytest.mark.parametrize(
    ("more", "device"),
    [({}, "checkout"), ({"host.name": "h1"}, "checkout:h1"), ({"service.namespace": "s"}, "s:checkout")],
)
def test_an_instance_that_was_made_up_at_the_start_is_no_other_device(more, device):
    made_up = "2ae658f8-53c8-441f-8e7b-c7dc4c643e33"
    attributes = {"service.name": "checkout", "service.instance.id": made_up} | more
    (reading,) = read(request_of(number("a", "gauge", 1), **attributes))
    assert (reading.device, reading.tags["service.instance.id"]) == (device, made_up)


def test_a_delta_of_a_histogram_is_a_rate():
    (reading,) = read(request_of(histogram(DELTA)))
    assert reading.values["latency_per_second"] == pytest.approx(0.4)
    assert "latency_count" not in reading.values


def test_exponential_histograms_and_summaries_are_read():
    exponential, summary = Metric(name="e"), Metric(name="s")
    point = exponential.exponential_histogram.data_points.add(time_unix_nano=NS, count=4, sum=12, scale=0, zero_count=0)
    point.positive.offset = 1
    point.positive.bucket_counts.extend([4])
    of_summary = summary.summary.data_points.add(time_unix_nano=NS, count=2, sum=4)
    of_summary.quantile_values.add(quantile=0.9, value=3)
    (reading,) = read(request_of(exponential, summary))
    assert reading.values["e_p50"] == pytest.approx(2.0, abs=1.0)
    assert 2 <= reading.values["e_p99"] <= 4
    of_summary = {name: value for name, value in reading.values.items() if name[0] == "s"}
    assert of_summary == {
        "s_count": 2,
        "s_sum": 4,
        "s_mean": 2,
        "s_p90": 3,
    }


@pytest.mark.parametrize(
    ("metric", "attributes", "why"),
    [
        (number("a", "gauge", 1), {"host.name": "h"}, "service.name"),
        (number("a", "sum", 1, temporality=DELTA, start=0), {}, "start time"),
    ],
)
def test_points_that_cannot_be_taken_are_bad_alone(metric, attributes, why):
    request = request_of(metric, **attributes)
    request.resource_metrics.extend(request_of(number("good", "gauge", 1)).resource_metrics)
    good, bad = read(request)
    assert good.values == {"good": 1}
    assert why in bad.reason


def test_a_time_that_cannot_be_is_bad_and_a_point_without_a_value_is_none():
    wrong, stale = number("a", "gauge", 1), number("b", "gauge", 1)
    wrong.gauge.data_points[0].time_unix_nano = 5
    stale.gauge.data_points[0].flags = 1
    (bad,) = read(request_of(wrong, stale))
    assert "2000 and 2200" in bad.reason


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)), st.sampled_from(
    ["prometheus", "openmetrics", "otlp", "otlp-json"]
))  # fmt: skip
def test_whatever_comes_is_read_or_refused(body, form):
    try:
        found = readings_of(body, form, "d")
    except DecodeError:
        return
    assert all(isinstance(r, Bad) or not fault_of(r) for r in found)


BODIES = {
    "prometheus": generate_latest(registry()),
    "openmetrics": generate_open_metrics(registry()),
    "otlp": request_of(histogram(DELTA), number("a", "gauge", 1)).SerializeToString(),
}


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_body_with_a_wrong_byte_is_read_or_refused(data):
    form = data.draw(st.sampled_from(sorted(BODIES)))
    body = bytearray(BODIES[form])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = readings_of(bytes(body), form, "d")
    except DecodeError:
        return
    assert all(isinstance(r, Bad) or not fault_of(r) for r in found)


def test_the_packages_are_loaded_only_when_such_a_body_comes():
    code = (
        "import sys, watchkeeper.pipeline, watchkeeper.intake.bodies, watchkeeper_api.app\n"
        "print(*(m for m in sys.modules if m.startswith(('prometheus_client', 'opentelemetry.proto', 'google'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
