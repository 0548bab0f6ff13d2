"""Reads `devices/*.yaml`."""

import math
from collections.abc import Mapping
from pathlib import PurePosixPath

from watchkeeper.knowledge.catalogue import (
    Catalogue,
    DeviceClass,
    DeviceOverride,
    Fill,
    MetricSpec,
)
from watchkeeper.knowledge.fields import Fields
from watchkeeper.knowledge.problems import Complain, Mark, Problems, quote
from watchkeeper.knowledge.yaml_nodes import Node, parse_yaml
from watchkeeper.records import Importance


def read_catalogue(files: Mapping[str, str], problems: Problems) -> Catalogue:
    """The catalogue in `files` (path to text), in name order; what is wrong goes to `problems`."""
    classes: list[DeviceClass] = []
    class_places: dict[str, str] = {}
    device_places: dict[str, str] = {}
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
    return Catalogue(tuple(classes))


def _class_fields(root: Node, complain: Complain) -> Fields:
    return Fields(
        root,
        complain,
        required=("class",),
        optional=("description", "match", "interval", "importance", "metrics", "devices"),
    )


def _read_class(fields: Fields, file: str, complain: Complain) -> DeviceClass:
    name = fields.text("class") or PurePosixPath(file).stem
    if name == "*":
        complain(fields.at("class"), "'*' stands for every class and cannot be the name of one")
    return DeviceClass(
        name=name,
        description=fields.text("description"),
        match=fields.texts("match"),
        interval_ms=_interval(fields, complain) or DeviceClass("").interval_ms,
        importance=fields.choice("importance", Importance.NORMAL),
        metrics={metric: _read_metric(metric, node, complain) for metric, node in fields.mapping("metrics").items()},
        devices={device: _read_override(node, complain) for device, node in fields.mapping("devices").items()},
    )


def _read_metric(name: str, node: Node, complain: Complain) -> MetricSpec:
    fields = Fields(node, complain, optional=("unit", "range", "missing", "fill"))
    low, high = fields.span("range") if "range" in fields else (-math.inf, math.inf)
    return MetricSpec(
        name=name,
        unit=fields.text("unit"),
        low=low,
        high=high,
        missing=fields.numbers("missing"),
        fill=fields.choice("fill", Fill.NONE),
    )


def _read_override(node: Node, complain: Complain) -> DeviceOverride:
    fields = Fields(node, complain, optional=("site", "importance", "interval"))
    return DeviceOverride(
        site=fields.text("site") or None,
        importance=fields.choice("importance", Importance.NORMAL) if "importance" in fields else None,
        interval_ms=_interval(fields, complain),
    )


def _interval(fields: Fields, complain: Complain) -> int | None:
    if "interval" not in fields:
        return None
    interval_ms = fields.duration("interval", default=1)
    if interval_ms == 0:
        complain(fields.at("interval"), "'interval' must be longer than 0s")
    return interval_ms


def _once(what: str, name: str, at: Mark, file: str, places: dict[str, str], complain: Complain) -> None:
    if name in places:
        complain(at, f"duplicate {what} {quote(name)} (first in {places[name]})")
    places.setdefault(name, f"{file}:{at}")
