"""OTLP metrics (protobuf, or JSON), the points of a request as readings.

The device is `service.namespace`, `service.name` and `service.instance.id`, as far as they are there; a UUID, which
SDKs make up at each start, is no name that lasts, and `host.name` stands in for it. A gauge, and a
sum that may fall, is as it is. A sum that only grows keeps its running total under a name that ends in `_total`, or,
where its service sends what was added (delta temporality), becomes a rate, `…_per_second`. Histograms become count (or
rate), sum, mean and estimated quantiles. Source: opentelemetry.io/docs/specs/otlp and …/specs/otel/metrics/data-model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from google.protobuf import json_format
from google.protobuf.message import DecodeError as NotProtobufError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    SummaryDataPoint,
)

from watchkeeper.errors import DecodeError
from watchkeeper.intake.sent import EARLIEST_MS, LATEST_MS, Bad, SentReading
from watchkeeper.intake.services import Said, device_id, metric_name, quantiles

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import (
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
    )
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    Distribution = HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint

WHOSE = ("service.namespace", "service.name", "service.instance.id")
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NOTHING_RECORDED = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK


def read_otlp(body: bytes, *, as_json: bool = False) -> list[SentReading | Bad]:
    """The readings of an ExportMetricsServiceRequest. DecodeError: it is none."""
    request = ExportMetricsServiceRequest()
    try:
        if as_json:
            json_format.Parse(body, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (json_format.ParseError, NotProtobufError, UnicodeDecodeError, RecursionError, ValueError) as error:
        message = f"not an ExportMetricsServiceRequest: {error}"
        raise DecodeError(message) from error
    said = Said()
    for of_resource in request.resource_metrics:
        device = _device(of_resource.resource, said)
        for scope in of_resource.scope_metrics:
            for metric in scope.metrics:
                _metric(metric, device, said)
    return said.readings()


def answer_of(rejected: int, reason: str, *, as_json: bool = False) -> bytes:
    """The ExportMetricsServiceResponse: empty where all was taken, as the specification says."""
    response = ExportMetricsServiceResponse()
    if rejected:
        response.partial_success.rejected_data_points = rejected
        response.partial_success.error_message = reason
    if as_json:
        return str(json_format.MessageToJson(response, indent=None)).encode()
    return bytes(response.SerializeToString())


def _device(resource: Resource, said: Said) -> str:
    told = {item.key: _text(item.value) for item in resource.attributes}
    namespace, service, instance = (told.get(name, "") for name in WHOSE)
    made_up = bool(UUID.fullmatch(instance))
    device = device_id(namespace, service, told.get("host.name", "") if made_up else instance) if service else ""
    for name, value in told.items():
        if device and (name not in WHOSE or (made_up and name == WHOSE[2])):
            said.tag(device, name, value)
    return device


def _metric(metric: Metric, device: str, said: Said) -> None:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    delta = getattr(data, "aggregation_temporality", 0) == DELTA
    for point in data.data_points:
        if point.flags & NOTHING_RECORDED:
            continue
        if fault := _fault(point, device, delta=delta):
            said.bad.append(Bad(metric.name.encode(), f"{metric.name[:128]!r}: {fault}"))
            continue
        seconds = (point.time_unix_nano - point.start_time_unix_nano) / 1e9 if delta else 0.0
        labels = {item.key: _text(item.value) for item in point.attributes}
        values = _number(metric, point, seconds) if kind in {"gauge", "sum"} else _spread(point, seconds)
        for suffix, value in values.items():
            said.add(device, point.time_unix_nano // 1_000_000, metric_name(metric.name + suffix, labels), value)


def _fault(point: NumberDataPoint | Distribution, device: str, *, delta: bool) -> str:
    ts = point.time_unix_nano // 1_000_000
    if not device:
        return "its resource has no service.name"
    if not EARLIEST_MS <= ts < LATEST_MS:
        return f"its time, {ts} ms, is not between the years 2000 and 2200"
    if delta and not 0 < point.start_time_unix_nano < point.time_unix_nano:
        return "a delta needs a start time before its time"
    return ""


def _number(metric: Metric, point: NumberDataPoint, seconds: float) -> dict[str, float]:
    """The value by suffix; `seconds` is how long a delta lasted, 0: it is none."""
    value = float(point.as_double if point.WhichOneof("value") == "as_double" else point.as_int)
    if not metric.sum.is_monotonic:
        return {"": value}
    if seconds:
        return {"_per_second": value / seconds}
    return {"" if metric.name.endswith("_total") else "_total": value}


def _spread(point: Distribution, seconds: float) -> dict[str, float]:
    """What a histogram or summary says, by suffix."""
    found = {"_per_second": point.count / seconds} if seconds else {"_count": float(point.count)}
    if isinstance(point, SummaryDataPoint) or point.HasField("sum"):
        if not seconds:
            found["_sum"] = point.sum
        if point.count:
            found["_mean"] = point.sum / point.count
    if isinstance(point, SummaryDataPoint):
        return found | {f"_p{100 * each.quantile:g}": each.value for each in point.quantile_values}
    bounds, counts = (
        _buckets(point)
        if isinstance(point, ExponentialHistogramDataPoint)
        else (point.explicit_bounds, point.bucket_counts)
    )
    if len(counts) == len(bounds) + 1:
        found |= {f"_{name}": value for name, value in quantiles(list(bounds), [float(c) for c in counts]).items()}
    return found


def _buckets(point: ExponentialHistogramDataPoint) -> tuple[list[float], list[int]]:
    """The buckets with upper bounds, ascending; nothing lies above the last. Of a scale no number can hold: none."""
    try:
        base = 2.0 ** (2.0**-point.scale)
        negative, positive = point.negative, point.positive
        pairs = [(-(base ** (negative.offset + place)), count) for place, count in enumerate(negative.bucket_counts)][
            ::-1
        ]
        pairs.append((point.zero_threshold, point.zero_count))
        pairs += [(base ** (positive.offset + place + 1), count) for place, count in enumerate(positive.bucket_counts)]
    except (OverflowError, ZeroDivisionError):
        return [], []
    return [bound for bound, _ in pairs], [*(count for _, count in pairs), 0]


def _text(value: AnyValue) -> str:
    """An attribute's value as text; bytes, lists and maps say nothing short."""
    kind = value.WhichOneof("value")
    match kind:
        case "string_value":
            return str(value.string_value)
        case "bool_value":
            return str(value.bool_value).lower()
        case "int_value" | "double_value":
            return f"{getattr(value, kind):.15g}"
    return ""
