"""Devices, and the series of what they measured."""

import difflib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from watchkeeper.ids import shard_of
from watchkeeper.knowledge.rules import PREDICT_MS
from watchkeeper.ports import Key
from watchkeeper.records import DeviceRecord, SchemaRecord
from watchkeeper.series.query import query
from watchkeeper.topology import DEVICES, SCHEMAS
from watchkeeper.wire import read_record
from watchkeeper_api.answers import as_json, documented, json_of
from watchkeeper_api.calibration import calibration_of
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.forecasts import metrics_ahead
from watchkeeper_api.quality import latest_share, spans_of
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.rows import LATEST_MS, Limit, one
from watchkeeper_api.schemas import Calibration, DeviceDetail, DeviceEntry, DeviceList, Forecast, Quality, Series

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SUGGESTED_FROM = 1_000

router = APIRouter(prefix="/api/devices", tags=["devices"])
Points = Annotated[int, Query(ge=1, le=10_000, description="More readings than this are answered as means.")]
Start = Annotated[int | None, Query(alias="from", ge=0, le=LATEST_MS, description="Epoch ms; an hour before `to`.")]
Horizon = Annotated[int, Query(ge=60_000, le=30 * DAY_MS, description="How far ahead, in ms; three days.")]
WithQuality = Annotated[bool, Query(description="With the quality of each; it takes longer.")]
DayBefore = Annotated[int | None, Query(alias="from", ge=0, le=LATEST_MS, description="Epoch ms; a day before `to`.")]
End = Annotated[int | None, Query(alias="to", ge=0, le=LATEST_MS, description="Epoch ms, not included; now.")]


@router.get("", responses=documented(json_of(DeviceList), HTTPStatus.BAD_REQUEST))
def devices(
    call: Admitted,
    after: Annotated[str, Query(max_length=200, description="`next` of the last answer.")] = "",
    limit: Limit = 100,
    quality: WithQuality = False,  # noqa: FBT002 - a parameter of the query
) -> Response:
    """List devices by name."""
    # One more for `after` itself, which the range includes, and one to know whether there are others.
    rows = call.backend.ports.tables.query(DEVICES.name, call.tenant, after, limit=limit + 2)
    rest = [row for row in rows if row.key.sort != after]
    stored = [read_record(row.value, DeviceRecord) for row in rest[:limit]]
    records = [DeviceEntry(**msgspec.structs.asdict(each)) for each in stored]
    if quality:
        tables, tenant = call.backend.ports.tables, call.tenant
        records = [msgspec.structs.replace(each, quality=latest_share(tables, tenant, each.device)) for each in records]
    return as_json(DeviceList(records, rest[limit - 1].key.sort if len(rest) > limit else ""))


@router.get("/{device}", responses=documented(json_of(DeviceDetail), HTTPStatus.NOT_FOUND))
def device(call: Admitted, device: str) -> Response:
    """Answer what is known of a device: from what it sent, and from the catalogue."""
    record = _record(call, device)
    backend = call.backend
    backend.published.refresh(backend.clock())
    known = backend.published.bundle.catalogue.profile(device)
    rows = backend.ports.tables.query(SCHEMAS.name, call.tenant, f"{device}/", f"{device}0")
    detail = DeviceDetail(
        **msgspec.structs.asdict(record),
        importance=known.importance,
        interval_ms=known.interval_ms,
        gap_ms=known.gap_ms,
        clock=known.clock,
        time_zone=known.time_zone,
        calendar=known.calendar,
        owner=known.owner,
        notes=known.notes,
        feeds=known.feeds,
        fed_by=known.fed_by,
        units={name: spec.unit for name, spec in known.metrics.items() if spec.unit},
        derived={each.name: each.expression.text for each in known.derived},
        schemas=[read_record(row.value, SchemaRecord) for row in rows],
    )
    return as_json(detail)


@router.get("/{device}/quality", responses=documented(json_of(Quality), HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def quality(call: Admitted, device: str, start: DayBefore = None, end: End = None) -> Response:
    """Answer how good a device's readings were, by the hour or (where it reports more rarely than a minute) the day."""
    to = call.backend.clock() + 1 if end is None else end
    since = max(0, to - DAY_MS) if start is None else start
    if since > to:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"from ({since}) is after to ({to})", where="query.from")
    _record(call, device)
    return as_json(Quality(device, spans_of(call.backend.ports.tables, call.tenant, device, since, to)))


@router.get("/{device}/forecast", responses=documented(json_of(Forecast), HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def forecast(call: Admitted, device: str, horizon: Horizon = PREDICT_MS) -> Response:
    """Answer what is to come of a device's metrics, and when they will cross the levels of rules."""
    record, backend = _record(call, device), call.backend
    backend.published.refresh(backend.clock())
    bundle = backend.published.bundle
    ahead = metrics_ahead(backend.ports.blobs, backend.shards, bundle, call.tenant, record, horizon)
    return as_json(Forecast(device, horizon, ahead))


@router.get("/{device}/calibration", responses=documented(json_of(Calibration), HTTPStatus.NOT_FOUND))
def calibration(call: Admitted, device: str) -> Response:
    """Answer how the model is set for a device: its bar, its target, and what opened."""
    return as_json(calibration_of(call.backend, call.tenant, _record(call, device)))


@router.get("/{device}/series", responses=documented(json_of(Series), HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND))
def series(
    call: Admitted,
    device: str,
    metric: Annotated[str, Query(max_length=200)],
    start: Start = None,
    end: End = None,
    points: Points = 500,
) -> Response:
    """Answer a metric's readings, raw while there are no more than `points`, else as mean, least and greatest."""
    to = call.backend.clock() + 1 if end is None else end
    since = max(0, to - HOUR_MS) if start is None else start
    if since > to:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"from ({since}) is after to ({to})", where="query.from")
    _check_known(call, device, metric)
    shard = shard_of(call.tenant, device, call.backend.shards)
    found = query(call.backend.ports.blobs, shard, call.tenant, device, metric, since, to, points)
    return as_json(Series(device, metric, [*found.points], found.bucket_ms))


def _record(call: Call, device: str) -> DeviceRecord:
    """The record of a device. Refused (404): it has never sent anything."""
    tables = call.backend.ports.tables
    record = one(tables, DEVICES, Key(call.tenant, device), DeviceRecord)
    if record is None:
        rows = tables.query(DEVICES.name, call.tenant, limit=SUGGESTED_FROM)
        raise _unknown("device", device, (row.key.sort for row in rows), "path.device")
    return record


def _check_known(call: Call, device: str, metric: str) -> None:
    record = _record(call, device)
    if metric not in record.metrics:
        raise _unknown(f"metric of {device}", metric, record.metrics, "query.metric")


def _unknown(what: str, name: str, known: Iterable[str], where: str) -> RefusedError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return RefusedError(HTTPStatus.NOT_FOUND, f"unknown {what}: {name!r}{hint}", where=where)
