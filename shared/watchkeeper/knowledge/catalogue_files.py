"""Reads `devices/*.yaml`."""

import math
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.calendars import read_calendar, read_time_zone
from watchkeeper.knowledge.catalogue import (
    Catalogue,
    Clock,
    DeviceClass,
    DeviceOverride,
    Fill,
    MetricSpec,
    edges_of,
)
from watchkeeper.knowledge.derived import read_derived
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, Mark, Problems, did_you_mean, quote
from watchkeeper.knowledge.units import Conversion, conversion
from watchkeeper.knowledge.yaml_nodes import Node, parse_yaml
from watchkeeper.records import Importance

SHARED_KEYS = ("importance", "interval", "gap_after", "clock", "time_zone", "calendar", "owner", "notes", "sends")
CLASS_KEYS = ("class", "description", "match", "metrics", "derived", "devices", *SHARED_KEYS)
DEVICE_KEYS = ("site", "feeds", "fed_by", *SHARED_KEYS)
METRIC_KEYS = ("unit", "range", "missing", "fill", "fill_for", "stuck_after")


def read_catalogue(files: Mapping[str, str], problems: Problems) -> Catalogue:
    """The catalogue in `files` (path to text), in name order; what is wrong goes to `problems`."""
    classes: list[DeviceClass] = []
    class_places: dict[str, str] = {}
    device_places: dict[str, str] = {}
    marks: dict[str, tuple[Complain, Mark]] = {}
    for file in sorted(files):
        complain = problems.of(file)
        root = parse_yaml(files[file], complain)
        if root is None:
            # Taken to be there, so that one syntax error is not followed by one complaint per rule of that class.
            classes.append(DeviceClass(PurePosixPath(file).stem))
            continue
        fields = _class_fields(root, complain)
        found = _read_class(fields, file, complain)
        classes.append(found)
        _once("class", found.name, fields.at("class"), file, class_places, complain)
        for device, node in fields.mapping("devices").items():
            _once("device", device, node.key_at, file, device_places, complain)
            marks.setdefault(device, (complain, node.key_at))
    _refuse_circles(classes, marks)
    return Catalogue(tuple(classes))


def _class_fields(root: Node, complain: Complain) -> Fields:
    return Fields(root, complain, required=CLASS_KEYS[:1], optional=CLASS_KEYS[1:])


def _read_class(fields: Fields, file: str, complain: Complain) -> DeviceClass:
    name = fields.text("class") or PurePosixPath(file).stem
    if name == "*":
        complain(fields.at("class"), "'*' stands for every class and cannot be the name of one")
    metrics = {metric: _read_metric(metric, node, complain) for metric, node in fields.mapping("metrics").items()}
    derived = read_derived(fields, metrics, complain)
    for each in derived:
        spec = metrics.get(each.name)
        if spec and (spec.fill is not Fill.NONE or spec.stuck_ms or spec.missing):
            hint = "'missing', 'fill' and 'stuck_after' belong to the metrics it is computed from"
            complain(fields.mapping("metrics")[each.name].at, f"{quote(each.name)} is derived; {hint}")
        metrics.setdefault(each.name, MetricSpec(each.name))
    sent = {metric: spec for metric, spec in metrics.items() if all(metric != each.name for each in derived)}
    return DeviceClass(
        name=name,
        description=fields.text("description"),
        match=fields.texts("match"),
        metrics=metrics,
        derived=derived,
        devices={device: _read_override(node, sent, complain) for device, node in fields.mapping("devices").items()},
        **_shared(fields, sent, complain),
    )


def _read_metric(name: str, node: Node, complain: Complain) -> MetricSpec:
    fields = Fields(node, complain, optional=METRIC_KEYS)
    low, high = fields.span("range") if "range" in fields else (-math.inf, math.inf)
    fill = fields.choice("fill", Fill.NONE)
    if "fill_for" in fields and fill is Fill.NONE:
        complain(fields.at("fill_for"), "'fill_for' has no meaning without 'fill: last' or 'fill: linear'")
    return MetricSpec(
        name=name,
        unit=fields.text("unit"),
        low=low,
        high=high,
        missing=fields.numbers("missing"),
        fill=fill,
        fill_ms=_duration("fill_for", fields, complain),
        stuck_ms=_duration("stuck_after", fields, complain) or 0,
    )


def _read_override(node: Node, metrics: Mapping[str, MetricSpec], complain: Complain) -> DeviceOverride:
    fields = Fields(node, complain, optional=DEVICE_KEYS)
    return DeviceOverride(
        site=fields.text("site") or None,
        feeds=fields.texts("feeds"),
        fed_by=fields.texts("fed_by"),
        **_shared(fields, metrics, complain),
    )


def _shared(fields: Fields, metrics: Mapping[str, MetricSpec], complain: Complain) -> dict[str, Any]:
    """What is said in the same words of a class and of a device."""
    calendar = fields.node("calendar")
    return {
        "importance": fields.choice("importance", Importance.NORMAL) if "importance" in fields else None,
        "interval_ms": _duration("interval", fields, complain),
        "gap_ms": _duration("gap_after", fields, complain),
        "clock": fields.choice("clock", Clock.TRUST) if "clock" in fields else None,
        "time_zone": read_time_zone(fields, complain) or None,
        "calendar": read_calendar(calendar, complain) if calendar else None,
        "owner": fields.text("owner") or None,
        "notes": fields.text("notes") or None,
        "conversions": _conversions(fields, metrics, complain),
    }


def _conversions(fields: Fields, metrics: Mapping[str, MetricSpec], complain: Complain) -> dict[str, Conversion]:
    found = {}
    for metric, node in fields.mapping("sends").items():
        if metric not in metrics:
            complain(node.key_at, f"unknown metric {quote(metric)}{did_you_mean(metric, metrics)}")
        elif not metrics[metric].unit:
            complain(
                node.key_at, f"{quote(metric)} has no unit that it could be converted to; give it one in 'metrics'"
            )
        elif not isinstance(node.value, str):
            complain(node.at, f"the unit of {quote(metric)} must be text, not {node.describe()}")
        else:
            try:
                found[metric] = conversion(node.value.strip(), metrics[metric].unit)
            except KnowledgeError as error:
                complain(node.at, str(error))
    return found


def _duration(key: str, fields: Fields, complain: Complain) -> int | None:
    if key not in fields:
        return None
    duration_ms = fields.duration(key, default=1)
    if duration_ms == 0:
        complain(fields.at(key), f"'{key}' must be longer than 0s")
    return duration_ms


def _refuse_circles(classes: Sequence[DeviceClass], places: Mapping[str, tuple[Complain, Mark]]) -> None:
    """Complains where a device feeds itself, by way of others or at once."""
    downstream: dict[str, list[str]] = {}
    for upstream, fed in sorted(edges_of(classes)):
        downstream.setdefault(upstream, []).append(fed)
    try:
        TopologicalSorter(downstream).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        complain, at = next(places[device] for device in circle if device in places)
        complain(at, f"feeds itself: {' feeds '.join(map(quote, reversed(circle)))}")


def _once(what: str, name: str, at: Mark, file: str, places: dict[str, str], complain: Complain) -> None:
    if name in places:
        complain(at, f"duplicate {what} {quote(name)} (first in {places[name]})")
    places.setdefault(name, f"{file}:{at}")
