"""Devices, and the series of what they measured."""

import difflib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from watchkeeper.ids import shard_of
from watchkeeper.ports import Key
from watchkeeper.records import DeviceRecord
from watchkeeper.series.query import query
from watchkeeper.topology import DEVICES
from watchkeeper.wire import read_record
from watchkeeper_api.answers import as_json, documented, json_of
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.rows import LATEST_MS, Limit, one
from watchkeeper_api.schemas import DeviceList, Series

HOUR_MS = 3_600_000
SUGGESTED_FROM = 1_000

router = APIRouter(prefix="/api/devices", tags=["devices"])
Points = Annotated[int, Query(ge=1, le=10_000, description="More readings than this are answered as means.")]
Start = Annotated[int | None, Query(alias="from", ge=0, le=LATEST_MS, description="Epoch ms; an hour before `to`.")]
End = Annotated[int | None, Query(alias="to", ge=0, le=LATEST_MS, description="Epoch ms, not included; now.")]


@router.get("", responses=documented(json_of(DeviceList), HTTPStatus.BAD_REQUEST))
def devices(
    call: Admitted,
    after: Annotated[str, Query(max_length=200, description="`next` of the last answer.")] = "",
    limit: Limit = 100,
) -> Response:
    """List devices by name."""
    # One more for `after` itself, which the range includes, and one to know whether there are others.
    rows = call.backend.ports.tables.query(DEVICES.name, call.tenant, after, limit=limit + 2)
    rest = [row for row in rows if row.key.sort != after]
    records = [read_record(row.value, DeviceRecord) for row in rest[:limit]]
    return as_json(DeviceList(records, rest[limit - 1].key.sort if len(rest) > limit else ""))


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


def _check_known(call: Call, device: str, metric: str) -> None:
    tables = call.backend.ports.tables
    record = one(tables, DEVICES, Key(call.tenant, device), DeviceRecord)
    if record is None:
        rows = tables.query(DEVICES.name, call.tenant, limit=SUGGESTED_FROM)
        raise _unknown("device", device, (row.key.sort for row in rows), "path.device")
    if metric not in record.metrics:
        raise _unknown(f"metric of {device}", metric, record.metrics, "query.metric")


def _unknown(what: str, name: str, known: Iterable[str], where: str) -> RefusedError:
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return RefusedError(HTTPStatus.NOT_FOUND, f"unknown {what}: {name!r}{hint}", where=where)
