"""API Gateway's HTTP events (payload 2.0) to the one ASGI application, and its answers back.

Format: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
The gateway has asked who is there before it calls: a key of a machine (by the authorizer) or a token of a person. So
keys and tokens that come along are dropped here, and the application gets a key of this process for who was let in.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_adapters.cloud.tokens import client_of
from watchkeeper_api.backend import Client

if TYPE_CHECKING:
    from watchkeeper_api.doorman import Doorman

DROPPED = frozenset({"x-api-key", "authorization", "cookie"})
TEXTS = ("text/", "application/json", "application/problem+json", "application/x-ndjson")
LARGEST_ANSWER = 5_500_000  # bytes; Lambda hands 6 MB on


def _client(request: Mapping[str, Any]) -> Client | None:
    """Who the gateway says has come; None: it has asked nobody."""
    said = request.get("authorizer") or {}
    return _machine(said.get("lambda") or {}) or _person((said.get("jwt") or {}).get("claims") or {})


def _machine(said: Mapping[str, Any]) -> Client | None:
    return Client(str(said["name"]), str(said.get("tenant") or DEFAULT_TENANT)) if said.get("name") else None


def _person(claims: Mapping[str, Any]) -> Client | None:
    name, tenant = client_of(claims)
    return Client(name, tenant or DEFAULT_TENANT) if name else None


class Gateway:
    """Serves one request after the other, as Lambda brings them, on an event loop of its own."""

    def __init__(self, application: Any, doorman: Doorman) -> None:  # noqa: ANN401 - an ASGI application
        self._application, self._doorman = application, doorman
        self._loop = asyncio.new_event_loop()

    def serve(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request, in API Gateway's form."""
        scope, body = self._request(event)
        status, headers, data = self._loop.run_until_complete(_asked(self._application, scope, body))
        if len(data) > LARGEST_ANSWER:
            status, headers = 413, {"content-type": "application/json"}
            data = b'{"error": "the answer is over 5.5 MB, which Lambda does not hand on; ask for less at a time"}'
        answer: dict[str, Any] = {"statusCode": status, "headers": headers}
        text = headers.get("content-type", "").startswith(TEXTS) and "content-encoding" not in headers
        if text:
            return answer | {"body": data.decode("utf-8", "replace"), "isBase64Encoded": False}
        return answer | {"body": base64.b64encode(data).decode(), "isBase64Encoded": True}

    def close(self) -> None:
        """End the event loop; nothing is served any more."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _request(self, event: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        request = event["requestContext"]
        http = request["http"]
        text = event.get("body") or ""
        body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in (event.get("headers") or {}).items()
            if name.lower() not in DROPPED
        ]
        if key := self._doorman.key_for(_client(request)):
            headers.append((b"x-api-key", key.encode()))
        path = str(event.get("rawPath") or http["path"])
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": http["method"],
            "scheme": "https",
            "path": path,
            "raw_path": path.encode("latin-1", "replace"),
            "query_string": str(event.get("rawQueryString") or "").encode("latin-1"),
            "root_path": "",
            "headers": headers,
            "client": (http.get("sourceIp", ""), 0),
            "server": (request.get("domainName", "lambda"), 443),
        }
        return scope, body


async def _asked(application: Any, scope: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:  # noqa: ANN401
    sent: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    status, headers, parts = 500, {}, []

    async def receive() -> dict[str, Any]:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await application(scope, receive, send)
    return status, headers, b"".join(parts)
