"""Services send what Prometheus and OpenTelemetry make of them, by their own clients' rules."""

import gzip

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, pushadd_to_gateway

from tests.unit.api.conftest import NOW
from watchkeeper.topology import IOT_DATA_INGESTION
from watchkeeper_api import Client, key_digest

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


def request(*names, service="checkout"):
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    if service:
        of_resource.resource.attributes.add(key="service.name").value.string_value = service
    metrics = of_resource.scope_metrics.add().metrics
    for name in names:
        metrics.add(name=name).gauge.data_points.add(time_unix_nano=NOW * 1_000_000, as_int=3)
    return made


def test_metrics_by_otlp_are_taken_and_answered_as_the_specification_says(api, readings_on):
    answer = api.post("/v1/metrics", content=request("queue").SerializeToString(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, PROTOBUF["content-type"], b"")
    (reading,) = readings_on(IOT_DATA_INGESTION)
    assert (reading.device, reading.ts, reading.values) == ("checkout", NOW, {"queue": 3})


def test_otlp_as_json_and_packed(api, readings_on):
    body = gzip.compress(json_format.MessageToJson(request("queue")).encode())
    answer = api.post("/v1/metrics", content=body, headers=JSON | {"content-encoding": "gzip"})
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    assert len(readings_on(IOT_DATA_INGESTION)) == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_points_that_are_not_taken_are_a_partial_success(api, as_json):
    made = request("good")
    made.resource_metrics.extend(request("bad", "worse", service="").resource_metrics)
    body = json_format.MessageToJson(made).encode() if as_json else made.SerializeToString()
    answer = api.post("/v1/metrics", content=body, headers=JSON if as_json else PROTOBUF)
    told = ExportMetricsServiceResponse()
    if as_json:
        json_format.Parse(answer.content, told)
    else:
        told.ParseFromString(answer.content)
    assert (answer.status_code, told.partial_success.rejected_data_points) == (200, 2)
    assert "service.name" in told.partial_success.error_message


@pytest.mark.parametrize(("key", "status"), [("alpha", 400), ("", 401)])
def test_an_error_is_a_status_in_the_form_of_the_request(make_api, key, status):
    api = make_api(api_keys={key_digest("alpha"): Client("a")})
    headers = {"x-api-key": key} if key else {}
    answer = api.post("/v1/metrics", content=b"\xff" * 200, headers=PROTOBUF | headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
    # google.rpc.Status: field 2 is the message; read as any message with a text in field 2
    assert answer.content[:1] == b"\x12"
    as_response = ExportMetricsServiceResponse()
    as_response.partial_success.ParseFromString(answer.content)
    assert ("not an Export" if key else "API key") in as_response.partial_success.error_message
    answer = api.post("/v1/metrics", content=b"{", headers=JSON | headers)
    assert (answer.status_code, list(answer.json())) == (status, ["message"])


def test_prometheus_text_is_of_the_device_in_the_query(api, readings_on):
    answer = api.post("/ingest/prometheus?device=web-1", content=b"queue 3\nbad\n", headers=TEXT)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected_count"]) == (202, 1, 1)
    (reading,) = readings_on(IOT_DATA_INGESTION)
    assert (reading.device, reading.values) == ("web-1", {"queue": 3})


def test_text_that_is_none_is_a_400(api):
    headers = {"content-type": "application/openmetrics-text; version=1.0.0"}
    assert api.post("/ingest/prometheus?device=a", content=b"queue 3", headers=headers).status_code == 400
    assert api.post("/ingest/prometheus?device=a", content=b"\xff", headers=TEXT).status_code == 400


@pytest.mark.parametrize("push", [push_to_gateway, pushadd_to_gateway])
@pytest.mark.parametrize(
    ("job", "grouping", "device"),
    [
        ("nightly", {}, "nightly"),
        ("nightly", {"instance": "h1:80"}, "nightly:h1:80"),
        ("a/b", {"instance": "x"}, "a-b:x"),
    ],
)
def test_a_client_of_a_pushgateway_pushes_here(api, readings_on, push, job, grouping, device):
    registry = CollectorRegistry()
    Gauge("queue", "Q.", registry=registry).set(4)

    def handler(url, method, timeout, headers, data):
        def send():
            path = url.removeprefix("http://watchkeeper")
            answer = api.ask(method, path, content=data, headers=dict(headers))
            assert answer.status_code == 202, answer.text

        return send

    push("watchkeeper/ingest/prometheus", job, registry, grouping_key=grouping, handler=handler)
    (reading,) = readings_on(IOT_DATA_INGESTION)
    assert (reading.device, reading.values) == (device, {"queue": 4})


@pytest.mark.parametrize("grouping", ["job/a/instance", "job/a/b@base64/!", "job/...", "a/b", "job@base64/_w"])
def test_a_grouping_that_is_none_is_a_400(api, grouping):
    answer = api.post(f"/ingest/prometheus/metrics/{grouping}", content=b"queue 3\n", headers=TEXT)
    assert (answer.status_code, answer.json()["error"]["where"]) == (400, "path")


def test_a_client_of_prometheus_may_name_its_request(api, readings_on):
    for _ in range(2):
        api.post("/ingest/prometheus?device=a", content=b"queue 3\n", headers=TEXT | {"idempotency-key": "k"})
    assert len(readings_on(IOT_DATA_INGESTION)) == 1
