"""Alerts: what people were told, and who has seen it."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchkeeper.alerting.entry import AlertEntry, acknowledged
from watchkeeper.outcome import Outcome, Put
from watchkeeper.ports import Key
from watchkeeper.records import Acknowledgement, Alert, Severity
from watchkeeper.topology import ACKNOWLEDGEMENTS, ALERTS
from watchkeeper_api.answers import as_json, documented, json_of, taking
from watchkeeper_api.bodies import read_command
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.rows import Before, Limit, Only, many, newest, one
from watchkeeper_api.schemas import AcknowledgeIn, AlertList

router = APIRouter(prefix="/api/alerts", tags=["alerts"])
_acknowledge_answers = documented(
    json_of(Acknowledgement),
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
StatusFilter = Annotated[
    Literal["firing", "resolved"] | None, Query(description="`firing`: not resolved, updated since or not.")
]


@router.get("", responses=documented(json_of(AlertList), HTTPStatus.BAD_REQUEST))
def alerts(
    call: Admitted,
    status: StatusFilter = None,
    severity: Severity | None = None,
    device: Only = None,
    before: Before = "",
    limit: Limit = 100,
) -> Response:
    """List alerts, newest first."""

    def wanted(entry: AlertEntry) -> bool:
        is_resolved = entry.status == "resolved"
        return (
            (status is None or is_resolved == (status == "resolved"))
            and severity in {None, entry.severity}
            and device in {None, entry.device}
        )

    tables = call.backend.ports.tables
    found, following = newest(tables, ALERTS, call.tenant, AlertEntry, "", before, limit, wanted)
    keys = [Key(call.tenant, entry.id) for entry in found]
    seen = many(tables, ACKNOWLEDGEMENTS, keys, Acknowledgement)
    entries = [acknowledged(entry, seen.get(key)) for key, entry in zip(keys, found, strict=True)]
    return as_json(AlertList(entries, following))


@router.post(
    "/{alert}/acknowledge",
    responses=_acknowledge_answers,
    openapi_extra=taking(json_of(AcknowledgeIn), "Who works on it."),
)
async def acknowledge(request: Request, call: Admitted, alert: str) -> Response:
    """Say that somebody has seen an alert and works on it. The last one to say so is named."""
    seen = await read_command(request, AcknowledgeIn)
    return await run_in_threadpool(_acknowledge, call, alert, seen)


def _acknowledge(call: Call, alert: str, seen: AcknowledgeIn) -> Response:
    if one(call.backend.ports.tables, ALERTS, Key(call.tenant, alert), Alert) is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"unknown alert: {alert!r}", where="path.alert")
    made = Acknowledgement(alert, call.tenant, seen.by, call.backend.clock(), seen.note)
    call.services.commands.request(lambda _: Outcome(puts=[Put(ACKNOWLEDGEMENTS, call.tenant, alert, made)]))
    return as_json(made)
