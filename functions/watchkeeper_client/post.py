"""One batch to the server by HTTP, and what its answer means."""

import email.utils
import http.client
import json
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

MOST_OF_AN_ANSWER = 65_536
LONGEST_ASKED_S = 3_600.0
NEVER_TAKEN = frozenset({400, 413, 415, 422})


class Answer(NamedTuple):
    """What the server said. Status 0: it could not be reached, and `text` says why."""

    status: int
    text: str
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """What was accepted is durable."""
        return 200 <= self.status < 300

    @property
    def hopeless(self) -> bool:
        """This body will not be taken, however often it is sent. A wrong key or address may be put right."""
        return self.status in NEVER_TAKEN

    @property
    def rejected(self) -> tuple[int, str]:
        """How many readings the server found wrong or had no room for, and why the first one."""
        try:
            answer = json.loads(self.text)
            listed = answer.get("rejected") or [{}]
            count = int(answer.get("rejected_count", 0)) + int(answer.get("shed", 0))
            return count, str(listed[0].get("reason", "no room for them"))
        except (AttributeError, TypeError, ValueError, LookupError):
            return 0, ""


class Poster:
    """Posts to `{url}/ingest/realtime`. ValueError: the address is none."""

    def __init__(self, url: str, api_key: str | None, ca_file: str | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"{url!r} is no address of a Watchkeeper; http://127.0.0.1:8080 is one")
        self.shown = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/ingest/realtime"
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": api_key} if api_key else {})
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def post(self, key: str, body: bytes) -> Answer:
        """Send it; once more if a connection from before was closed meanwhile. The key makes that harmless."""
        used_before = self._connection is not None
        answer = self._try(key, body)
        return self._try(key, body) if used_before and not answer.status else answer

    def rest(self) -> None:
        """Close the connection: nothing is to be sent for a while."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try(self, key: str, body: bytes) -> Answer:
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request("POST", self._path, body, self._headers | {"Idempotency-Key": key})
            response = self._connection.getresponse()
            text = response.read(MOST_OF_AN_ANSWER).decode("utf-8", "replace")
            if response.will_close or not response.isclosed():
                self.rest()
            return Answer(response.status, text, _seconds(response.getheader("Retry-After")))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.rest()
            return Answer(0, f"{type(error).__name__}: {error}")

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def _seconds(text: str | None) -> float | None:
    """`Retry-After` as a number or as a date (RFC 9110, section 10.2.3); at most an hour."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_ASKED_S) if seconds >= 0 else None
