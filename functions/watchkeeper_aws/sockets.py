"""API Gateway's WebSocket events: who listens is kept with a time to live; what is asked is what HTTP answers.

A message `{"action": "get", "path": "/api/alerts?status=firing", "id": 7}` is answered by one with the same `id`, the
`status`, and the `body` of `GET` to that path.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from watchkeeper.ports import Key
from watchkeeper_adapters.cloud.pushes import LARGEST_FRAME
from watchkeeper_aws.names import CONNECTIONS
from watchkeeper_aws.services import client, code_of, waiting_for

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container
    from watchkeeper_aws.gateway import Gateway

log = logging.getLogger(__name__)
PARTITION = "listeners"
GONE = ("GoneException", "410")


class Listener(msgspec.Struct, frozen=True):
    """Who has connected, as the authorizer has said."""

    name: str
    tenant: str
    since: int
    v: int = 1


class _Wish(msgspec.Struct, frozen=True):
    path: str
    id: int | str = 0


def serve_socket(event: Mapping[str, Any], container: Container, gateway: Gateway) -> dict[str, Any]:
    """Connect, disconnect, or answer a message; what the gateway is told is only whether that worked."""
    request = event["requestContext"]
    key, route = Key(PARTITION, str(request["connectionId"])), request["routeKey"]
    if route == "$connect":
        said = request.get("authorizer") or {}
        if not said.get("name"):
            return {"statusCode": 401}
        who = Listener(str(said["name"]), str(said.get("tenant") or "default"), container.clock())
        container.tables.put(CONNECTIONS, key, msgspec.json.encode(who))
        return {"statusCode": 200}
    if route == "$disconnect":
        container.tables.delete(CONNECTIONS, key)
        return {"statusCode": 200}
    held = container.tables.get_many(CONNECTIONS, [key]).get(key)
    if held is None:
        return {"statusCode": 410}
    answer = _answer(event, msgspec.json.decode(held.value, type=Listener), gateway)
    return {"statusCode": 200 if _post(request, answer, container) else 410}


def _answer(event: Mapping[str, Any], who: Listener, gateway: Gateway) -> bytes:
    try:
        wish = msgspec.json.decode(event.get("body") or "", type=_Wish)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = f'a message is {{"action": "get", "path": "/api/…", "id": 1}}: {error}'
        return msgspec.json.encode({"id": 0, "status": 400, "body": {"error": why}})
    path, _, query = wish.path.partition("?")
    request = {
        "http": {"method": "GET", "path": path, "sourceIp": ""},
        "authorizer": {"lambda": {"name": who.name, "tenant": who.tenant}},
    }
    told = gateway.serve({"requestContext": request, "rawPath": path, "rawQueryString": query, "headers": {}})
    body: object = told["body"]
    if told["headers"].get("content-type", "").startswith("application/json"):
        body = msgspec.Raw(told["body"].encode())
    frame = msgspec.json.encode({"id": wish.id, "status": told["statusCode"], "body": body})
    if len(frame) <= LARGEST_FRAME:
        return frame
    why = f"the answer has {len(frame):,} bytes, and a message may have {LARGEST_FRAME:,}; ask for it by HTTP"
    return msgspec.json.encode({"id": wish.id, "status": 413, "body": {"error": why}})


def _post(request: Mapping[str, Any], data: bytes, container: Container) -> bool:
    """Send it to who has asked."""
    settings = container.settings
    where = settings.endpoint or f"https://{request['domainName']}/{request['stage']}"
    there = client("apigatewaymanagementapi", region=settings.region, endpoint=where)
    return post(there, str(request["connectionId"]), data)


def post(gateway: Any, connection: str, data: bytes) -> bool:  # noqa: ANN401 - boto3 has no types
    """Send a message by the Management API; False: nobody listens there any more. Unavailable, Refused: it failed."""
    with waiting_for("a WebSocket"):
        try:
            gateway.post_to_connection(ConnectionId=connection, Data=data)
        except ClientError as error:
            if code_of(error) in GONE:
                return False
            raise
    return True
