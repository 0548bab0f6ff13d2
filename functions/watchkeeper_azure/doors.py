"""Who is there: machines by a key (header X-API-Key), people by their token (Authorization: Bearer).

No gateway has asked before: this does, in front of the application, which then gets a key of this process for who was
let in. The table of keys holds digests only: `pk` is the SHA-256 of a key in hexadecimal, `sk` is `-`, and the row says
whose it is.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from watchkeeper.errors import Unavailable
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_adapters.cloud.tokens import client_of
from watchkeeper_api.backend import Client, key_digest
from watchkeeper_azure.names import API_KEYS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from watchkeeper.ports import Tables
    from watchkeeper_adapters.cloud.tokens import Verifier
    from watchkeeper_api.doorman import Doorman

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

KEPT_S = 60.0  # that the owner of a key is remembered: a key that was withdrawn works so long
MOST_KEPT = 10_000
KEY, TOKEN, COOKIE = b"x-api-key", b"authorization", b"cookie"
AWAY = b'{"error": "who you are cannot be told now; ask again later"}'


class Owner(msgspec.Struct, frozen=True):
    """Whose a key is."""

    name: str
    tenant: str = DEFAULT_TENANT
    v: int = 1


def new_key(tables: Tables, owner: Owner) -> str:
    """A new key for a machine. It is nowhere to be found afterwards, only its digest is."""
    key = secrets.token_urlsafe(32)
    tables.put(API_KEYS, Key(key_digest(key), "-"), msgspec.json.encode(owner), ABSENT)
    return key


class Keys:
    """The table of keys, read once a minute for each key that is shown. Those that nobody has are asked for anew."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        self._tables, self._clock = tables, clock
        self._known: dict[str, tuple[Client, float]] = {}
        self._lock = threading.Lock()

    def client(self, key: str) -> Client | None:
        """Whose it is; None: nobody's. Unavailable: that cannot be told now."""
        digest, now = key_digest(key), self._clock()
        with self._lock:
            held = self._known.get(digest)
        if held and now < held[1]:
            return held[0]
        place = Key(digest, "-")
        row = self._tables.get_many(API_KEYS, [place]).get(place)
        with self._lock:
            self._known.pop(digest, None)
            if row is None:
                return None
            owner = msgspec.json.decode(row.value, type=Owner)
            if len(self._known) >= MOST_KEPT:
                self._known.clear()
            self._known[digest] = Client(owner.name, owner.tenant), now + KEPT_S
            return self._known[digest][0]


class Doors:
    """An ASGI application in front of another one."""

    def __init__(self, application: Any, doorman: Doorman, keys: Keys, verifier: Verifier) -> None:  # noqa: ANN401
        self._application, self._doorman, self._keys, self._verifier = application, doorman, keys, verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keys and tokens that come along go no further."""
        shown = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        headers = [pair for pair in scope["headers"] if pair[0].lower() not in {KEY, TOKEN, COOKIE}]
        try:
            client = await asyncio.get_running_loop().run_in_executor(None, self._who, shown)
        except Unavailable:
            await _away(send)
            return
        if given := self._doorman.key_for(client):
            headers.append((KEY, given.encode()))
        await self._application({**scope, "headers": headers}, receive, send)

    def _who(self, shown: dict[bytes, str]) -> Client | None:
        if key := shown.get(KEY):
            return self._keys.client(key)
        scheme, _, token = shown.get(TOKEN, "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        name, tenant = client_of(self._verifier.claims(token.strip()) or {})
        return Client(name, tenant or DEFAULT_TENANT) if name else None


async def _away(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": AWAY})
