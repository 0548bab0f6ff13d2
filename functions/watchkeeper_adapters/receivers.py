"""Where alerts go that needs no account anywhere: the console, a file, a webhook."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import msgspec

from watchkeeper.errors import ConfigError, Unavailable
from watchkeeper.records import Alert, Severity
from watchkeeper_adapters.address import address_of
from watchkeeper_adapters.console_text import text_of
from watchkeeper_adapters.plain import excerpt
from watchkeeper_adapters.tls import authorities

if TYPE_CHECKING:
    import httpx

    from watchkeeper.ports import Receiver

TRY_LATER = frozenset({408, 425, 429})
ANSWER_READ = 4096


class ConsoleReceiver:
    """Writes alerts for people to a text stream, standard output unless another is given; in colour on a terminal."""

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        stream = self._stream or sys.stdout
        try:
            text = text_of(alert, colour=stream.isatty() and "NO_COLOR" not in os.environ)
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream.write(text.encode(encoding, "replace").decode(encoding))
            stream.flush()
        except (OSError, ValueError) as error:  # a ValueError: the stream is closed
            raise Unavailable(f"the console cannot be written to: {error}") from error


class FileReceiver:
    """Appends alerts to a file, one JSON object a line; an alert that was taken is on the disk."""

    def __init__(self, path: str | Path, name: str = "file") -> None:
        self.name = name
        self._path = Path(path)

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        line = msgspec.json.encode(alert) + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)  # in one piece, so that lines of several workers do not mix
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"{self._path}: cannot be written to ({error.strerror})") from error


class WebhookReceiver:
    """Posts alerts as JSON to a URL, of which nothing but scheme, host and port is ever shown.

    `X-Watchkeeper-Event` is the alert's status. `Idempotency-Key` is `{alert}:{status}:{content}`, the same whenever
    the same is sent again (an escalation says the same status of the same alert, and must not pass for a repetition).
    With a `secret`, `X-Watchkeeper-Timestamp` (epoch seconds) and `X-Watchkeeper-Signature` prove who sent it: see
    `signature`. Redirects are not followed. Half of `timeout_s` is for connecting, half for the answer. Any answer but
    2xx is Unavailable, and its text says what was answered.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        secret: str = "",
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        import httpx

        self.name = name
        self._address = address_of(url, f"receiver {name}")
        self._secret = secret
        self._clock = clock
        self._timeout = httpx.Timeout(timeout_s / 2)
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"receiver {name}: not an address; write https://host[:port]/path") from error
        # httpx logs every request with its whole URL, and the URL of a webhook is its password.
        log = logging.getLogger("httpx")
        log.setLevel(max(log.level, logging.WARNING))

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        import httpx

        body = self.body(alert)
        try:
            # A connection for each alert: they are rare, and workers fork.
            with httpx.stream(
                "POST",
                self._url,
                content=body,
                headers=self._headers(alert, body),
                timeout=self._timeout,
                follow_redirects=False,
                trust_env=not self._address.is_local,
                verify=authorities(),
            ) as response:
                if not response.is_success:
                    raise Unavailable(self._refusal(response))
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self._address.shown} does not answer in time ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._address.shown} cannot be reached: {self._safe(str(error))}") from error

    def body(self, alert: Alert) -> bytes:
        """What is posted."""
        return msgspec.json.encode(alert)

    def _headers(self, alert: Alert, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "watchkeeper",
            "X-Watchkeeper-Event": alert.status,
            "Idempotency-Key": f"{alert.id}:{alert.status}:{hashlib.sha256(body).hexdigest()[:16]}",
        }
        if self._secret:
            timestamp = str(int(self._clock()))
            headers["X-Watchkeeper-Timestamp"] = timestamp
            headers["X-Watchkeeper-Signature"] = signature(self._secret, timestamp, body)
        return headers

    def _refusal(self, response: httpx.Response) -> str:
        text = f"{self._address.shown} answers {response.status_code}"
        if response.is_redirect:
            return f"{text}, a redirect, and none is followed; give the receiver the URL it points to"
        if 400 <= response.status_code < 500 and response.status_code not in TRY_LATER:
            text += ", which trying again may not mend (check its URL and secret)"
        start = next(response.iter_bytes(ANSWER_READ), b"").decode("utf-8", "replace")
        return f"{text}: {self._safe(start)}" if start else text

    def _safe(self, text: str) -> str:
        return excerpt(self._address.redacted(text.replace(self._secret, "…") if self._secret else text))


class BySeverity:
    """A receiver of alerts of some severities only: see `ports.SelectiveReceiver`."""

    def __init__(self, receiver: Receiver, severities: frozenset[Severity]) -> None:
        self.name = f"{receiver.name}-{'+'.join(each for each in Severity if each in severities)}"
        self.severities = severities
        self._receiver = receiver

    def send(self, alert: Alert) -> None:
        """See `ports.Receiver`."""
        self._receiver.send(alert)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256, in hex, of `timestamp.body` by the secret.

    A receiver computes it again from what it got, compares in constant time, and refuses timestamps that are too old.
    """
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
