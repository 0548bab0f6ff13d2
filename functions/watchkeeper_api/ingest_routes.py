"""Readings come in, in several forms, for now and for later. 202 is said when what was accepted is durable."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from watchkeeper.intake.sent import Form, device_fault
from watchkeeper.outcome import RawMessage
from watchkeeper.topology import BATCH_DATA_INGESTION, IOT_DATA_INGESTION, Topic
from watchkeeper_api.answers import as_json, documented, json_of, taking, text_of
from watchkeeper_api.bodies import GZIP, PLAIN, media_type_of, read_body
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.schemas import IngestAnswer, ReadingsIn, RejectedReading

LISTED_REJECTIONS = 1_000
LONGEST_KEY = 200
NDJSON = ("application/x-ndjson", "application/ndjson")
MSGPACK = ("application/msgpack", "application/x-msgpack")
PACKED = "With `Content-Encoding: gzip` it may be compressed; the limit holds for what comes out too."
READINGS: Mapping[str, Form] = {
    "application/json": "json",
    **dict.fromkeys(NDJSON, "ndjson"),
    **dict.fromkeys(MSGPACK, "msgpack"),
}
TABLES: Mapping[str, Form] = {"text/csv": "csv"}

Unnamed = Annotated[str | None, Query(description="The device of rows that name none.")]

router = APIRouter(tags=["ingest"])
_readings_body = taking(
    json_of(ReadingsIn, "application/json", *MSGPACK) | text_of(*NDJSON),
    "A reading, a list of readings, or `{readings: […]}`; the same as MessagePack; as NDJSON, a reading a line. "
    + PACKED,
)
_csv_body = taking(
    text_of("text/csv"),
    "Columns `device`, `ts`, `site`, `tag.<name>`; any other is a metric. Separated by `,` `;` tab or `|`; in UTF-8, "
    "or in UTF-16 with a byte order mark. " + PACKED,
)
_answers = documented(
    json_of(IngestAnswer),
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    status=HTTPStatus.ACCEPTED,
)


@router.post("/ingest/realtime", status_code=202, responses=_answers, openapi_extra=_readings_body)
async def ingest_realtime(request: Request, call: Admitted) -> Response:
    """Take readings that have just been made."""
    return await _take(request, call, IOT_DATA_INGESTION, READINGS)


@router.post("/ingest/batch", status_code=202, responses=_answers, openapi_extra=_readings_body)
async def ingest_batch(request: Request, call: Admitted) -> Response:
    """Take readings that were collected before they are sent."""
    return await _take(request, call, BATCH_DATA_INGESTION, READINGS)


@router.post("/ingest/csv", status_code=202, responses=_answers, openapi_extra=_csv_body)
async def ingest_csv(request: Request, call: Admitted, device: Unnamed = None) -> Response:
    """Take a table of readings, a row each."""
    if device is not None and (fault := device_fault(device)):
        raise RefusedError(HTTPStatus.BAD_REQUEST, fault, where="query.device")
    return await _take(request, call, BATCH_DATA_INGESTION, TABLES, device or "")


async def _take(request: Request, call: Call, topic: Topic, forms: Mapping[str, Form], unnamed: str = "") -> Response:
    form = forms[media_type_of(request, forms)]
    key = _idempotency_key(request)
    body = await read_body(request, call.backend.limits.max_body_bytes, (*PLAIN, *GZIP))
    message = RawMessage(body, call.backend.clock(), call.tenant, format=form, request=key, unnamed=unnamed)
    receipt = await call.services.intake.take(topic, message)
    if receipt.error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, receipt.error, where="body")
    listed = [RejectedReading(item.index, item.reason) for item in receipt.rejected[:LISTED_REJECTIONS]]
    answer = IngestAnswer(receipt.accepted, listed, len(receipt.rejected), receipt.shed)
    return as_json(answer, HTTPStatus.ACCEPTED)


def _idempotency_key(request: Request) -> str:
    """What names the request: a client that sends it again under the same key has sent it once."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return uuid.uuid4().hex
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        message = f"1 to {LONGEST_KEY} printable characters are expected"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message, where="header.Idempotency-Key")
    return key
