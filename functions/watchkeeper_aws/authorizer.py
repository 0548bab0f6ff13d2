"""Who is there: machines by HTTP (header X-API-Key), and whoever listens by WebSocket (`?token=`: a person's or a key).

The table holds digests only: `pk` is the SHA-256 of a key in hexadecimal, `sk` is `-`, `name` and `tenant` are whose it
is. Formats: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html and
apigateway-websocket-api-lambda-auth.html
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_adapters.cloud.tokens import Verifier, client_of
from watchkeeper_aws.names import API_KEYS
from watchkeeper_aws.observing import Observer
from watchkeeper_aws.services import client, waiting_for
from watchkeeper_aws.settings import Settings, read_settings
from watchkeeper_aws.tables import PARTITION, SORT

HEADER, QUERY = "x-api-key", "token"


class Authorizer:
    """The handler. It reads one row, and knows nothing else."""

    def __init__(self) -> None:
        """Nothing is opened before the first event."""
        self._observer = Observer("authorizer")

    def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's context
        """Whether to let in, and who it is. Unavailable: that cannot be told now, and the gateway answers 500."""
        with self._observer.invocation(context, str(event.get("requestContext", {}).get("requestId", ""))):
            socket = "methodArn" in event
            who = self._who(_query(event) if socket else _header(event))
            if socket:
                return _policy(event["methodArn"], who)
            return {"isAuthorized": who is not None, "context": who or {}}

    def _who(self, key: str) -> dict[str, str] | None:
        """A key's owner by the table; what has the two dots of a token, and keys do not, by the issuer."""
        if not key:
            return None
        if key.count(".") == 2:
            name, tenant = client_of(_verifier().claims(key) or {})
            return {"name": name, "tenant": tenant or DEFAULT_TENANT} if name else None
        settings, dynamodb = _opened()
        digest = hashlib.sha256(key.encode()).hexdigest()
        with waiting_for(f"DynamoDB {API_KEYS}"):
            answer = dynamodb.get_item(
                TableName=settings.table_prefix + API_KEYS,
                Key={PARTITION: {"S": digest}, SORT: {"S": "-"}},
                ConsistentRead=True,
            )
        item = answer.get("Item")
        if item is None:
            return None
        return {"name": item["name"]["S"], "tenant": item.get("tenant", {}).get("S", DEFAULT_TENANT)}


@functools.cache
def _opened() -> tuple[Settings, Any]:
    settings = read_settings()
    return settings, client("dynamodb", region=settings.region, endpoint=settings.endpoint, tries=settings.aws_tries)


@functools.cache
def _verifier() -> Verifier:
    settings, _ = _opened()
    return Verifier(settings.issuer, settings.audience)


def _header(event: Mapping[str, Any]) -> str:
    return next((str(value) for name, value in (event.get("headers") or {}).items() if name.lower() == HEADER), "")


def _query(event: Mapping[str, Any]) -> str:
    return str((event.get("queryStringParameters") or {}).get(QUERY, ""))


def _policy(resource: str, who: Mapping[str, str] | None) -> dict[str, Any]:
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Deny" if who is None else "Allow",
        "Resource": resource,
    }
    return {
        "principalId": who["name"] if who else "nobody",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": dict(who or {}),
    }
