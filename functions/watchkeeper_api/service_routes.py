"""Services are watched as devices are: what they say comes as Prometheus text, OpenMetrics or OTLP."""

import base64
import binascii
import uuid
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from watchkeeper.intake.sent import Form
from watchkeeper.intake.services import device_id
from watchkeeper.outcome import RawMessage
from watchkeeper.topology import IOT_DATA_INGESTION
from watchkeeper_api.answers import documented, taking, text_of
from watchkeeper_api.bodies import GZIP, PLAIN, media_type_of, read_body
from watchkeeper_api.call import Admitted
from watchkeeper_api.ingest_routes import ANSWERS, TEXT_FORMS, Unnamed, named, take
from watchkeeper_api.refusals import OTLP_JSON, OTLP_PROTOBUF, RefusedError

OTLP: Mapping[str, Form] = {OTLP_PROTOBUF: "otlp", OTLP_JSON: "otlp-json"}
BASE64 = "@base64"  # behind a label's name in a path: its value is base64url

router = APIRouter(tags=["ingest"])
_text_body = taking(
    text_of(*TEXT_FORMS),
    "Prometheus' text format 0.0.4, or OpenMetrics 1.0. A device in the query, a job in the path, or the labels `job` "
    "and `instance` say whose they are. With `Content-Encoding: gzip` it may be compressed.",
)
_otlp_body = taking(
    {OTLP_PROTOBUF: {"schema": {"type": "string", "format": "binary"}}, OTLP_JSON: {"schema": {"type": "object"}}},
    "An `ExportMetricsServiceRequest` of OTLP. With `Content-Encoding: gzip` it may be compressed.",
)
_otlp_answers = documented(
    {OTLP_PROTOBUF: {"schema": {"type": "string", "format": "binary"}}},
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@router.post("/ingest/prometheus", status_code=202, responses=ANSWERS, openapi_extra=_text_body)
async def ingest_prometheus(request: Request, call: Admitted, device: Unnamed = None) -> Response:
    """Take Prometheus text or OpenMetrics."""
    return await take(request, call, IOT_DATA_INGESTION, TEXT_FORMS, named(device))


@router.post("/ingest/prometheus/metrics/{grouping:path}", status_code=202, responses=ANSWERS, openapi_extra=_text_body)
async def ingest_pushed(request: Request, call: Admitted, grouping: str) -> Response:
    """Take what a client of a Pushgateway pushes; the path names job and instance, as there."""
    return await take(request, call, IOT_DATA_INGESTION, TEXT_FORMS, _of_group(grouping))


@router.put("/ingest/prometheus/metrics/{grouping:path}", status_code=202, responses=ANSWERS, openapi_extra=_text_body)
async def ingest_pushed_anew(request: Request, call: Admitted, grouping: str) -> Response:
    """Take the same; a Pushgateway would forget what was pushed before, here readings stay readings."""
    return await take(request, call, IOT_DATA_INGESTION, TEXT_FORMS, _of_group(grouping))


@router.post("/v1/metrics", response_class=Response, responses=_otlp_answers, openapi_extra=_otlp_body)
async def ingest_otlp(request: Request, call: Admitted) -> Response:
    """Take metrics by OTLP/HTTP, as protobuf or JSON."""
    kind = media_type_of(request, OTLP)
    body = await read_body(request, call.backend.limits.max_body_bytes, (*PLAIN, *GZIP))
    message = RawMessage(body, call.backend.clock(), call.tenant, format=OTLP[kind], request=uuid.uuid4().hex)
    receipt = await call.services.intake.take(IOT_DATA_INGESTION, message)
    if receipt.error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, receipt.error, where="body")
    from watchkeeper.intake.otlp import answer_of

    why = "; ".join(dict.fromkeys(item.reason for item in receipt.rejected[:20]))
    content = answer_of(len(receipt.rejected), why, as_json=kind == OTLP_JSON)
    return Response(content, media_type=kind)


def _of_group(grouping: str) -> str:
    """The device of a grouping: `job/JOB`, then `/LABEL/VALUE` as often as there are. A name may end in `@base64`."""
    parts = grouping.split("/")
    if len(parts) % 2 or parts[0] not in {"job", "job" + BASE64}:
        why = "job/JOB, then label/value pairs are expected behind metrics/"
        raise RefusedError(HTTPStatus.BAD_REQUEST, why, where="path")
    device = device_id(*(_value(name, value) for name, value in zip(parts[::2], parts[1::2], strict=True)))
    if not device:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the job is empty", where="path")
    return device


def _value(name: str, value: str) -> str:
    if not name.endswith(BASE64):
        return value
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name}: not base64url of text: {error}", where="path") from error
