"""Files that were put into the bucket: inbox/TENANT/NAME.csv, .json, .ndjson or .msgpack becomes readings.

What Lambda gave up and kept in the bucket, message by message, becomes dead letters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec
from botocore.exceptions import ClientError

from watchkeeper.errors import DecodeError, Undeclared
from watchkeeper.ids import text_id
from watchkeeper.intake.sent import device_fault
from watchkeeper.outcome import Outcome, RawMessage
from watchkeeper.records import DEFAULT_TENANT, DeadLetter
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_aws.blobs import ABSENCE
from watchkeeper_aws.kafka_events import deliveries
from watchkeeper_aws.names import GIVEN_UP, INBOX
from watchkeeper_aws.services import code_of, waiting_for

if TYPE_CHECKING:
    from collections import Counter

    from watchkeeper.context import Context
    from watchkeeper.intake.sent import Form
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.observing import Observer

log = logging.getLogger(__name__)
LARGEST = 50_000_000
FORMS: Mapping[str, Form] = {
    ".csv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".msgpack": "msgpack",
}  # fmt: skip


def take_files(event: Mapping[str, Any], container: Container, observer: Observer) -> dict[str, int]:
    """How many files were taken. Unavailable: one cannot be read or kept now, and the event comes again.

    A file that is announced twice is the same readings: they are known by device and time, and where they have no
    time by the file's name, version and row.
    """
    taken = 0
    for record in event["Records"]:
        where = record["s3"]
        key = unquote_plus(where["object"]["key"])
        mark = str(where["object"].get("versionId") or where["object"].get("eTag", ""))
        size = int(where["object"].get("size", 0))
        file = _File(where["bucket"]["name"], key, mark, size)
        observer.counts += file.take(container)
        taken += 1
    return {"files": taken}


class _File:
    def __init__(self, bucket: str, key: str, mark: str, size: int) -> None:
        self.bucket, self.key, self.mark, self.size = bucket, key, mark, size

    def take(self, container: Container) -> Counter[str]:
        """Into the pipeline, or to the dead letters."""
        if self.size > LARGEST:
            reason = f"{self.key}: {self.size:,} bytes, and a file may have {LARGEST:,}; divide it"
            return self._commit(container, lambda context: self._refused(b"", reason, context))
        body = self._read(container)
        if body is None:
            log.warning("%s is no longer there", self.key)
            return self._commit(container, lambda _context: Outcome())
        if self.key.startswith(GIVEN_UP):
            return self._commit(container, lambda context: self._given_up(body, context))
        return self._commit(container, lambda context: self._readings(body, context))

    def _read(self, container: Container) -> bytes | None:
        with waiting_for(f"S3 {self.key}"):
            try:
                answer = container.client("s3").get_object(Bucket=self.bucket, Key=self.key)
                return bytes(answer["Body"].read())
            except ClientError as error:
                if code_of(error) in ABSENCE:
                    return None
                raise

    def _commit(self, container: Container, decide: Callable[[Context], Outcome]) -> Counter[str]:
        return container.runner("ingest", None).request(decide)

    def _readings(self, body: bytes, context: Context) -> Outcome:
        path = PurePosixPath(self.key.removeprefix(INBOX))
        tenant = path.parts[0] if len(path.parts) > 1 else DEFAULT_TENANT
        form = FORMS.get(path.suffix.lower())
        if form is None:
            return self._refused(body, f"{self.key}: names that end in {', '.join(FORMS)} are expected", context)
        if fault := device_fault(tenant):
            return self._refused(body, f"{self.key}: the folder names no tenant: {fault}", context)
        unnamed = "" if device_fault(path.stem) else path.stem
        message = RawMessage(body, context.now, tenant, format=form, request=self._name, unnamed=unnamed)
        outcome, (receipt,) = admit([message], BATCH_DATA_INGESTION, context)
        outcome.counts["messages"] += 1
        outcome.counts["bytes_in"] += len(body)
        if receipt.error:
            return self._refused(body, f"{self.key}: {receipt.error}", context)
        return outcome

    @property
    def _name(self) -> str:
        return f"s3:{self.key}@{self.mark}"

    def _refused(self, body: bytes, reason: str, context: Context) -> Outcome:
        """Nobody waits for an answer: what was sent must not be lost."""
        letter = DeadLetter(text_id("ingest", self._name), "ingest", reason, body, context.now, "http")
        outcome = Outcome(dead=[letter])
        outcome.counts["accepted"] += 1
        outcome.counts["dead"] += 1
        return outcome

    def _given_up(self, body: bytes, context: Context) -> Outcome:
        """Each message that Lambda has given up, with the reason."""
        outcome = Outcome()
        try:
            told = msgspec.json.decode(body)
            reason = str(told.get("requestContext", {}).get("condition", "given up"))
            payload = told["payload"]
            event = msgspec.json.decode(payload) if isinstance(payload, str) else payload
            outcome.dead += self._letters(event, reason, context)
        except (
            msgspec.MsgspecError,
            DecodeError,
            Undeclared,
            KeyError,
            TypeError,
            AttributeError,
            UnicodeDecodeError,
        ) as error:
            return self._refused(body, f"{self.key}: not what Lambda writes of a batch: {error}", context)
        outcome.counts["dead"] += len(outcome.dead)
        return outcome

    def _letters(self, event: Mapping[str, Any], reason: str, context: Context) -> Iterator[DeadLetter]:
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
