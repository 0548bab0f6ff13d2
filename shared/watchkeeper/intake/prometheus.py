"""Prometheus' text format 0.0.4 and OpenMetrics 1.0, pushed: the samples of a body as readings.

The device is that of the request, or each sample's labels `job` and `instance`. A counter stays as it is, under its
name that ends in `_total`. A histogram becomes its count, sum, mean and estimated quantiles; a family of information
(`_info`, with the value 1) becomes tags.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as _read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as _read_text

from watchkeeper.errors import DecodeError
from watchkeeper.intake.sent import MAX_READINGS, Bad, SentReading, time_of
from watchkeeper.intake.services import Said, device_id, metric_name, quantiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WHOSE = ("job", "instance")
FAILURES = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, AssertionError)
Labels = tuple[tuple[str, str], ...]
Series = tuple[str, int | None, Labels]  # device, time, labels


def read_prometheus(body: bytes, device: str = "", *, open_metrics: bool = False) -> list[SentReading | Bad]:
    """The readings of a body. `device`: whose they are, empty where the samples' labels say so.

    DecodeError: it is not of this format. A line of the text format that cannot be read is bad alone; OpenMetrics is
    taken as a whole or not at all, as its specification says.
    """
    said = Said()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        message = f"not Prometheus text: {error}"
        raise DecodeError(message) from error
    if text.count("\n") > MAX_READINGS:
        message = f"more than {MAX_READINGS} lines in one body; send it in parts"
        raise DecodeError(message)
    for family in _families(text, said, open_metrics=open_metrics):
        if family.type == "histogram":
            _histogram(family, device, said)
        elif family.type == "info" or family.name.endswith("_info"):
            _information(family, device, said)
        else:
            for sample in family.samples:
                if placed := _place(sample, device, said):
                    who, ts, labels = placed
                    if not sample.name.endswith("_created"):
                        said.add(who, ts, metric_name(sample.name, dict(labels)), float(sample.value))
    return said.readings()


def _families(text: str, said: Said, *, open_metrics: bool) -> list[Any]:
    try:
        return _parsed(text, open_metrics=open_metrics)
    except FAILURES as error:
        if open_metrics:
            message = f"not OpenMetrics text 1.0: {error}"
            raise DecodeError(message) from error
    good = []
    for line in text.split("\n"):
        try:
            _parsed(line)
        except FAILURES as error:
            said.bad.append(Bad(line.encode(), f"not a line of Prometheus text: {error}"))
        else:
            good.append(line)
    try:
        return _parsed("\n".join(good))
    except FAILURES as error:
        message = f"not Prometheus text 0.0.4: {error}"
        raise DecodeError(message) from error


def _parsed(text: str, *, open_metrics: bool = False) -> list[Any]:
    read: Callable[[str], Iterable[Any]] = _read_open_metrics if open_metrics else _read_text
    return list(read(text))


def _place(sample: Any, device: str, said: Said) -> Series | None:  # noqa: ANN401 - the parser's sample has no types
    labels: dict[str, str] = dict(sample.labels)
    who = device or device_id(*(labels.get(name, "") for name in WHOSE))
    told = {name: value for name, value in labels.items() if name not in WHOSE}
    try:
        ts = None if sample.timestamp is None else time_of(round(float(sample.timestamp) * 1000))
    except (DecodeError, ValueError, OverflowError) as error:
        said.bad.append(Bad(str(sample.name).encode(), str(error)))
        return None
    if not who:
        why = "whose is it? Name a job in the path, a device in the query, or have labels job and instance"
        said.bad.append(Bad(str(sample.name).encode(), why))
        return None
    return who, ts, tuple(sorted(told.items()))


def _information(family: Any, device: str, said: Said) -> None:  # noqa: ANN401 - as above
    for sample in family.samples:
        if placed := _place(sample, device, said):
            for name, value in placed[2]:
                said.tag(placed[0], name, value)


def _histogram(family: Any, device: str, said: Said) -> None:  # noqa: ANN401 - as above
    buckets: dict[Series, dict[float, float]] = defaultdict(dict)
    totals: dict[Series, dict[str, float]] = defaultdict(dict)
    for sample in family.samples:
        placed = _place(sample, device, said)
        if placed is None:
            continue
        who, ts, labels = placed
        if sample.name.endswith("_bucket"):
            rest = tuple(item for item in labels if item[0] != "le")
            buckets[who, ts, rest][float(dict(labels)["le"])] = float(sample.value)
        else:
            totals[placed][sample.name.removeprefix(family.name)] = float(sample.value)
    for series in {**totals, **buckets}:
        _summarise(family.name, series, totals.get(series, {}), buckets.get(series, {}), said)


def _summarise(name: str, series: Series, total: Mapping[str, float], held: Mapping[float, float], said: Said) -> None:
    who, ts, labels = series
    found: dict[str, float] = {}
    if "_count" in total:
        found["count"] = total["_count"]
    if "_sum" in total:
        found["sum"] = total["_sum"]
        if total.get("_count", 0) > 0:
            found["mean"] = total["_sum"] / total["_count"]
    bounds = sorted(bound for bound in held if bound != float("inf"))
    cumulative = [held[bound] for bound in sorted(held)]
    counts = [max(0.0, up - down) for up, down in zip(cumulative, [0.0, *cumulative], strict=False)]
    if len(counts) == len(bounds):
        counts.append(0.0)
    for suffix, value in (found | quantiles(bounds, counts)).items():
        said.add(who, ts, metric_name(f"{name}_{suffix}", dict(labels)), value)
