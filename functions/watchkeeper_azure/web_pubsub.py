"""Azure Web PubSub, as far as it is used: a group is told something, and somebody is let in to listen to it.

Source: the REST API of its data plane, version 2024-12-01 (Web Pub Sub: Send To Group, Generate Client Token). Two
requests need no library of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

import msgspec
from azure.core import PipelineClient
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.core.rest import HttpRequest

from watchkeeper.errors import Unavailable
from watchkeeper_azure.failures import waiting_for
from watchkeeper_azure.names import HUB_OF_LISTENERS

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpResponse

API_VERSION = "2024-12-01"
SCOPE = "https://webpubsub.azure.com/.default"
PROTOCOL = "json.webpubsub.azure.v1"  # subprotocol by which clients get messages with where they come from
MINUTES = 5  # in which a connection has to be made; it may stay for longer


class _Token(msgspec.Struct):
    token: str


class WebPubSub:
    """The service at `endpoint`, asked as `credential`; each request once. `options` are those of azure-core."""

    def __init__(self, endpoint: str, credential: TokenCredential, **options: Any) -> None:  # noqa: ANN401
        self._endpoint = endpoint.rstrip("/")
        policies = [BearerTokenCredentialPolicy(credential, SCOPE)]
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            self._endpoint, policies=policies, **options
        )

    def send(self, group: str, message: bytes) -> None:
        """Send JSON to all who are in a group, if anybody is. Unavailable, Refused: the service did not take it."""
        self._ask(f"groups/{group}/:send", {}, message)

    def url_for(self, user: str, group: str) -> str:
        """Where a client may listen to a group as `user`, and do nothing else: it is given no role.

        The address is a password for `MINUTES`. Unavailable, Refused: the service does not give one.
        """
        asked = {"userId": user, "group": group, "minutesToExpire": str(MINUTES)}
        answer = self._ask(":generateToken", asked)
        try:
            token = msgspec.json.decode(answer.content, type=_Token).token
        except msgspec.MsgspecError as error:
            raise Unavailable(f"Web PubSub: its token is none: {error}") from error
        host = urlsplit(self._endpoint).netloc
        return f"wss://{host}/client/hubs/{HUB_OF_LISTENERS}?{urlencode({'access_token': token})}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _ask(self, what: str, asked: dict[str, str], body: bytes = b"") -> HttpResponse:
        query = urlencode(asked | {"api-version": API_VERSION})
        url = f"{self._endpoint}/api/hubs/{HUB_OF_LISTENERS}/{what}?{query}"
        headers = {"Content-Type": "application/json"} if body else {}
        with waiting_for("Web PubSub"):
            answer = self._client.send_request(HttpRequest("POST", url, headers=headers, content=body))
            answer.raise_for_status()
        return answer
