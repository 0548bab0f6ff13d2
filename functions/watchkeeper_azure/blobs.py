"""Blobs in Azure Storage: states by If-Match, segments, models, bundles.

A blob's version is its ETag, which every write changes. A conditional write that was done and whose answer was lost is
tried again by the library and refused; it is known by NONCE random bytes in the blob's metadata.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Blob
from watchkeeper_azure.failures import waiting_for

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

NONCE = 16
WRITE = "write"  # the name of the nonce
THREADS = 10  # as many connections as the library keeps
REFUSALS = frozenset({404, 409, 412})

T = TypeVar("T")
S = TypeVar("S")


class AzureBlobs:
    """Blobs by key in one container, below `prefix`.

    Azure takes a backslash in a name for a slash, so it is written as %5C, and % as %25.
    """

    def __init__(self, container: ContainerClient, prefix: str = "") -> None:
        self._container, self._prefix = container, prefix
        self._threads: ThreadPoolExecutor | None = None

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        wanted = list(dict.fromkeys(keys))
        found = zip(wanted, self._each(self._get, wanted), strict=True)
        return {key: blob for key, blob in found if blob is not None}

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        wanted = list(dict.fromkeys(keys))
        found = zip(wanted, self._each(self._head, wanted), strict=True)
        return {key: _version(head.etag) for key, head in found if head is not None}

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        nonce = secrets.token_hex(NONCE)
        condition: dict[str, Any] = {"overwrite": expect is not ABSENT}
        if isinstance(expect, str):
            condition |= {"etag": f'"{expect}"', "match_condition": MatchConditions.IfNotModified}
        with waiting_for(f"blob {key}"):
            try:
                blob = self._container.get_blob_client(self._name(key))
                answer = blob.upload_blob(data, metadata={WRITE: nonce}, **condition)
            except HttpResponseError as error:
                if expect is ANYWAY or error.status_code not in REFUSALS or _no_container(error):
                    raise
                held = self._head(key)
                if held is None or held.metadata.get(WRITE) != nonce:
                    found = _version(held.etag) if held else "none"
                    message = f"{key}: expected version {expect or 'none'}, found {found}"
                    raise Conflict(message) from error
                return _version(held.etag)
        return _version(answer["etag"])

    def delete(self, keys: Sequence[str]) -> None:
        self._each(self._delete, list(dict.fromkeys(keys)))

    def list(self, prefix: str) -> list[str]:
        with waiting_for(f"blobs {prefix}"):
            names = self._container.list_blob_names(name_starts_with=self._name(prefix))
            return sorted(unquote(name.removeprefix(self._prefix)) for name in names)

    def _get(self, key: str) -> Blob | None:
        with waiting_for(f"blob {key}"):
            try:
                answer = self._container.download_blob(self._name(key))
                return Blob(answer.readall(), _version(answer.properties.etag))
            except ResourceNotFoundError as error:
                if _no_container(error):
                    raise
                return None

    def _head(self, key: str) -> BlobProperties | None:
        with waiting_for(f"blob {key}"):
            try:
                return self._container.get_blob_client(self._name(key)).get_blob_properties()
            except ResourceNotFoundError as error:
                if _no_container(error):
                    raise
                return None

    def _delete(self, key: str) -> None:
        with waiting_for(f"delete blob {key}"):
            try:
                self._container.delete_blob(self._name(key))
            except ResourceNotFoundError as error:
                if _no_container(error):
                    raise

    def _name(self, key: str) -> str:
        return self._prefix + key.replace("%", "%25").replace("\\", "%5C")

    def _each(self, act: Callable[[T], S], things: Sequence[T]) -> Iterable[S]:
        """Do it with each, several at a time: each is a request of its own."""
        if len(things) < 2:
            return [act(thing) for thing in things]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "blobs")
        return list(self._threads.map(act, things))


def _version(etag: str) -> str:
    return etag.strip('"')


def _no_container(error: HttpResponseError) -> bool:
    return getattr(error, "error_code", None) == "ContainerNotFound"
