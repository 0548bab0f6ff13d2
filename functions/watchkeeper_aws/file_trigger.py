"""Files that were put into the bucket: those of the inbox are readings.

What Lambda gave up and kept in the bucket, message by message, becomes dead letters.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec
from botocore.exceptions import ClientError

from watchkeeper.errors import DecodeError, Undeclared
from watchkeeper.ids import text_id
from watchkeeper.outcome import Outcome
from watchkeeper.records import DEFAULT_TENANT, DeadLetter
from watchkeeper_adapters.cloud.file_trigger import File, refused, take_file
from watchkeeper_aws.blobs import ABSENCE
from watchkeeper_aws.kafka_events import deliveries
from watchkeeper_aws.names import GIVEN_UP
from watchkeeper_aws.services import code_of, waiting_for

if TYPE_CHECKING:
    from watchkeeper.context import Context
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer


def take_files(event: Mapping[str, Any], container: Container, observer: Observer) -> dict[str, int]:
    """How many files were taken. Unavailable: one cannot be read or kept now, and the event comes again."""
    taken = 0
    for record in event["Records"]:
        where = record["s3"]
        key = unquote_plus(where["object"]["key"])
        mark = str(where["object"].get("versionId") or where["object"].get("eTag", ""))
        file = File("s3", key, mark, int(where["object"].get("size", 0)))
        read = functools.partial(_read, where["bucket"]["name"], container)
        decide = _given_up if key.startswith(GIVEN_UP) else None
        observer.counts += take_file(file, read, container, decide)
        taken += 1
    return {"files": taken}


def _read(bucket: str, container: Container, key: str) -> bytes | None:
    with waiting_for(f"S3 {key}"):
        try:
            answer = container.client("s3").get_object(Bucket=bucket, Key=key)
            return bytes(answer["Body"].read())
        except ClientError as error:
            if code_of(error) in ABSENCE:
                return None
            raise


def _given_up(file: File, body: bytes, context: Context) -> Outcome:
    """Each message that Lambda has given up, with the reason."""
    outcome = Outcome()
    try:
        told = msgspec.json.decode(body)
        reason = str(told.get("requestContext", {}).get("condition", "given up"))
        payload = told["payload"]
        event = msgspec.json.decode(payload) if isinstance(payload, str) else payload
        outcome.dead += _letters(event, reason, context)
    except (
        msgspec.MsgspecError,
        DecodeError,
        Undeclared,
        KeyError,
        TypeError,
        AttributeError,
        UnicodeDecodeError,
    ) as error:
        return refused(file, body, f"{file.key}: not what Lambda writes of a batch: {error}", context)
    outcome.counts["dead"] += len(outcome.dead)
    return outcome


def _letters(event: Mapping[str, Any], reason: str, context: Context) -> Iterator[DeadLetter]:
    for delivery in deliveries(event):
        for message in delivery.messages:
            where = (delivery.topic.name, delivery.partition, message.offset)
            yield DeadLetter(
                text_id("given up", *where),
                "lambda",
                f"Lambda has given it up: {reason}",
                message.value,
                context.now,
                *where,
                tenant=message.headers.get("tenant", DEFAULT_TENANT),
                device=message.headers.get("device", ""),
            )
