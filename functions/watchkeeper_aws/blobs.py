"""Blobs in S3: states by If-Match, segments, models, bundles.

S3's version of an object that is written conditionally is its ETag, which says what is in it, not that it was written:
the same data have the same one. So every object ends in NONCE random bytes of its own. They are in its metadata, too:
a conditional write that was done and whose answer was lost is tried again by boto3 and refused, and is known by them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Blob
from watchkeeper_aws.services import code_of, waiting_for

NONCE = 16
AT_ONCE = 1000  # keys that one DeleteObjects takes
THREADS = 16
ABSENCE = {"404", "NoSuchKey", "NotFound"}
REFUSALS = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}

T = TypeVar("T")
S = TypeVar("S")


class S3Blobs:
    """Objects by key in one bucket, below `prefix`."""

    def __init__(self, s3: Any, bucket: str, prefix: str = "") -> None:  # noqa: ANN401 - boto3 has no types
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self._threads: ThreadPoolExecutor | None = None

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        wanted = list(dict.fromkeys(keys))
        found = zip(wanted, self._each(self._get, wanted), strict=True)
        return {key: blob for key, blob in found if blob is not None}

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        wanted = list(dict.fromkeys(keys))
        found = zip(wanted, self._each(self._head, wanted), strict=True)
        return {key: head["ETag"] for key, head in found if head is not None}

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        nonce = secrets.token_bytes(NONCE)
        condition: dict[str, Any] = {}
        if expect is ABSENT:
            condition = {"IfNoneMatch": "*"}
        elif expect is not ANYWAY:
            condition = {"IfMatch": expect}
        with waiting_for(f"S3 {key}"):
            try:
                answer = self._s3.put_object(
                    **self._at(key), Body=data + nonce, Metadata={"write": nonce.hex()}, **condition
                )
            except ClientError as error:
                if not condition or code_of(error) not in REFUSALS | ABSENCE:
                    raise
                held = self._head(key)
                if held is None or held.get("Metadata", {}).get("write") != nonce.hex():
                    found = held["ETag"] if held else "none"
                    message = f"{key}: expected version {expect or 'none'}, found {found}"
                    raise Conflict(message) from error
                answer = held
        return str(answer["ETag"])

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), AT_ONCE):
            named = [{"Key": self._prefix + key} for key in keys[start : start + AT_ONCE]]
            with waiting_for("S3 delete"):
                answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": named, "Quiet": True})
            for fault in answer.get("Errors", []):
                raise Unavailable(f"S3 delete {fault.get('Key')}: {fault.get('Code')}: {fault.get('Message')}")

    def list(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2")
        with waiting_for(f"S3 list {prefix}"):
            found = [
                item["Key"].removeprefix(self._prefix)
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
                for item in page.get("Contents", [])
            ]
        return sorted(found)

    def _get(self, key: str) -> Blob | None:
        with waiting_for(f"S3 {key}"):
            try:
                answer = self._s3.get_object(**self._at(key))
                data = answer["Body"].read()
            except ClientError as error:
                if code_of(error) in ABSENCE:
                    return None
                raise
        return Blob(data[:-NONCE], answer["ETag"])

    def _head(self, key: str) -> dict[str, Any] | None:
        with waiting_for(f"S3 {key}"):
            try:
                head: dict[str, Any] = self._s3.head_object(**self._at(key))
            except ClientError as error:
                if code_of(error) in ABSENCE:
                    return None
                raise
        return head

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _each(self, ask: Callable[[T], S], things: Sequence[T]) -> Iterable[S]:
        """Ask about each, several at a time: S3 has no call for many."""
        if len(things) < 2:
            return [ask(thing) for thing in things]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "s3")
        return list(self._threads.map(ask, things))
