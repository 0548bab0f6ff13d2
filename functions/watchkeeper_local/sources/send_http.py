"""Sends readings by `POST {base}/ingest/batch`, and tries again until each batch is answered."""

from __future__ import annotations

import email.utils
import itertools
import ssl
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Self

import httpx
import msgspec

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper_local.sources.endpoint import parse_endpoint
from watchkeeper_local.sources.reading import SourceReading
from watchkeeper_local.sources.sent import BATCH, Rejection, Sent

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class HttpSender:
    """Posts batches of up to 1,000 over one connection, each under one `Idempotency-Key` however often it is tried.

    It waits as `Retry-After` says, else twice as long each time, and gives up (Unavailable) when a batch is unanswered
    after `patience_s` seconds. Readings that the server finds wrong are counted as rejected, with its reason.
    """

    def __init__(
        self,
        base: str,
        *,
        api_key: str | None = None,
        ca_file: str | None = None,
        patience_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        endpoint = parse_endpoint(base, ("http", "https"))
        self.url = f"{endpoint.shown}/ingest/batch"
        self._patience_s = patience_s
        self._sleep = sleep
        headers = {"Content-Type": "application/json"} | ({"X-API-Key": api_key} if api_key else {})
        self._client = httpx.Client(
            headers=headers,
            auth=(endpoint.user, endpoint.password or "") if endpoint.user else None,
            verify=_authorities(ca_file) if endpoint.scheme == "https" else True,
            timeout=httpx.Timeout(30.0, connect=5.0),
            trust_env=not endpoint.is_local,
        )

    def send(self, readings: Iterable[SourceReading]) -> Sent:
        """Send all of them in order; ConfigError when the server refuses us, Unavailable when it does not answer."""
        total = Sent()
        left = iter(readings)
        while batch := list(itertools.islice(left, BATCH)):
            total += self._send_batch(batch)
        return total

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _send_batch(self, batch: list[SourceReading]) -> Sent:
        response, retries = self._post(msgspec.json.encode({"readings": batch}))
        again = Sent(retries=retries)
        if response.is_success:
            return again + self._counts(response)
        reason = f"{response.status_code} {response.text[:300]}"
        if response.status_code == 413 and len(batch) > 1:
            middle = len(batch) // 2
            return again + self._send_batch(batch[:middle]) + self._send_batch(batch[middle:])
        if response.status_code in {400, 413, 422}:
            return again + Sent(rejected=len(batch), rejections=tuple(Rejection(i, reason) for i in range(len(batch))))
        hint = "; check the API key" if response.status_code in {401, 403} else ""
        raise ConfigError(f"{self.url} answers {reason}{hint}")

    def _counts(self, response: httpx.Response) -> Sent:
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{self.url} answers {response.status_code} without counts: no Watchkeeper") from error
        rejected = max(answer.rejected_count, len(answer.rejected))
        return Sent(answer.accepted, rejected, shed=answer.shed, rejections=tuple(answer.rejected))

    def _post(self, body: bytes) -> tuple[httpx.Response, int]:
        """The first answer that trying again would not change, and how many tries came before it."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        deadline = time.monotonic() + self._patience_s
        retries = 0
        while True:
            wait = min(FIRST_WAIT_S * 2**retries, LONGEST_WAIT_S)
            try:
                response = self._client.post(self.url, content=body, headers=key)
                if response.status_code not in TRY_AGAIN:
                    return response, retries
                trouble = f"answers {response.status_code} {response.text[:300]}".rstrip()
                wait = _retry_after(response, wait)
            except httpx.TransportError as error:
                trouble = f"cannot be reached ({error})"
            if time.monotonic() + wait > deadline:
                raise Unavailable(f"{self.url} {trouble}; tried {retries + 1} times within {self._patience_s:g} s")
            self._sleep(wait)
            retries += 1


class _Answer(msgspec.Struct):
    """What `POST /ingest/batch` says of a body: the first of `rejected_count` readings are listed."""

    accepted: int
    rejected: list[Rejection] = []
    rejected_count: int = 0
    shed: int = 0


def _retry_after(response: httpx.Response, otherwise: float) -> float:
    """Seconds that `Retry-After` asks for, as a number or as a date (RFC 9110, section 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return otherwise


def _authorities(ca_file: str | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise ConfigError(f"{ca_file}: no certificates to trust ({error})") from error
    return context
