"""Readings come in, in several forms, for now and for later. 202 is said when what was accepted is durable."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from watchkeeper.admission import LISTED_REJECTIONS
from watchkeeper.intake.sent import Form, device_fault
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt
from watchkeeper.topology import BATCH_DATA_INGESTION, IOT_DATA_INGESTION, Topic
from watchkeeper_api.answers import as_json, documented, json_of, taking, text_of
from watchkeeper_api.bodies import GZIP, PLAIN, encoding_of, media_type_of, read_body
from watchkeeper_api.call import Admitted, Call
from watchkeeper_api.refusals import RefusedError
from watchkeeper_api.schemas import IngestAnswer, ReadingsIn, RejectedReading
from watchkeeper_api.uploads import Upload

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
TEXT_FORMS: Mapping[str, Form] = {"text/plain": "prometheus", "application/openmetrics-text": "openmetrics"}
UPLOADS: Mapping[str, Form] = {**TABLES, **dict.fromkeys(NDJSON, "ndjson")}

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
_upload_body = taking(
    text_of("text/csv", *NDJSON),
    "A table, or a reading a line, of any length: it is read in slices, each of which is durable before more is read. "
    "With `Content-Encoding: gzip` it may be compressed.",
)
ANSWERS = documented(
    json_of(IngestAnswer),
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    status=HTTPStatus.ACCEPTED,
)


@router.post("/ingest/realtime", status_code=202, responses=ANSWERS, openapi_extra=_readings_body)
async def ingest_realtime(request: Request, call: Admitted) -> Response:
    """Take readings that have just been made."""
    return await take(request, call, IOT_DATA_INGESTION, READINGS)


@router.post("/ingest/batch", status_code=202, responses=ANSWERS, openapi_extra=_readings_body)
async def ingest_batch(request: Request, call: Admitted) -> Response:
    """Take readings that were collected before they are sent."""
    return await take(request, call, BATCH_DATA_INGESTION, READINGS)


@router.post("/ingest/csv", status_code=202, responses=ANSWERS, openapi_extra=_csv_body)
async def ingest_csv(request: Request, call: Admitted, device: Unnamed = None) -> Response:
    """Take a table of readings, a row each."""
    return await take(request, call, BATCH_DATA_INGESTION, TABLES, named(device))


@router.post("/ingest/upload", status_code=202, responses=ANSWERS, openapi_extra=_upload_body)
async def ingest_upload(request: Request, call: Admitted, device: Unnamed = None) -> Response:
    """Take a table or NDJSON of any length, slice by slice; under an `Idempotency-Key` it can be sent again."""
    form = UPLOADS[media_type_of(request, UPLOADS)]
    packed = encoding_of(request, (*PLAIN, *GZIP)) in GZIP
    key = _idempotency_key(request)
    upload = Upload(call, form, key or uuid.uuid4().hex, once=bool(key), unnamed=named(device))
    await upload.take(request, packed=packed)
    taken = upload.taken
    listed = [RejectedReading(item.index, item.reason) for item in taken.rejected]
    return as_json(IngestAnswer(taken.accepted, listed, taken.rejected_count, taken.shed), HTTPStatus.ACCEPTED)


async def take(request: Request, call: Call, topic: Topic, forms: Mapping[str, Form], unnamed: str = "") -> Response:
    """Take a body that is held as a whole, of one of these forms, to a topic."""
    form = forms[media_type_of(request, forms)]
    key = _idempotency_key(request)
    body = await read_body(request, call.backend.limits.max_body_bytes, (*PLAIN, *GZIP))
    receipt = await _receipt(call, topic, RawMessage(
        body, call.backend.clock(), call.tenant, format=form, request=key or uuid.uuid4().hex, unnamed=unnamed,
        once=bool(key),
    ))  # fmt: skip
    listed = [RejectedReading(item.index, item.reason) for item in receipt.rejected[:LISTED_REJECTIONS]]
    answer = IngestAnswer(receipt.accepted, listed, len(receipt.rejected), receipt.shed)
    return as_json(answer, HTTPStatus.ACCEPTED)


async def _receipt(call: Call, topic: Topic, message: RawMessage) -> Receipt:
    receipt = await call.services.intake.take(topic, message)
    if receipt.error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, receipt.error, where="body")
    if receipt.reused:
        why = "this Idempotency-Key was given to another body; a new request needs a new key"
        raise RefusedError(HTTPStatus.CONFLICT, why, where="header.Idempotency-Key")
    return receipt


def named(device: str | None) -> str:
    """The device in the query, empty where there is none. Refused (400): it cannot be one."""
    if device is not None and (fault := device_fault(device)):
        raise RefusedError(HTTPStatus.BAD_REQUEST, fault, where="query.device")
    return device or ""


def _idempotency_key(request: Request) -> str:
    """What names the request, empty: nothing. The same body again under the same key is taken once."""
    key = request.headers.get("idempotency-key")
    if key is not None and (not 1 <= len(key) <= LONGEST_KEY or not key.isprintable()):
        message = f"1 to {LONGEST_KEY} printable characters are expected"
        raise RefusedError(HTTPStatus.BAD_REQUEST, message, where="header.Idempotency-Key")
    return key or ""
