"""For runtimes that ask who has come before the application does: it gets a key of this process for each of them."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping

from watchkeeper_api.backend import Client, key_digest


class Doorman:
    """Keys of this process, one for each client that was let in; `keys` is what the application knows."""

    def __init__(self) -> None:
        self.keys: MutableMapping[str, Client] = {key_digest(secrets.token_urlsafe()): Client("nobody")}
        self._given: dict[Client, str] = {}

    def key_for(self, client: Client | None) -> str:
        """The key for who has come; empty for nobody."""
        if client is None:
            return ""
        if client not in self._given:
            self._given[client] = secrets.token_urlsafe()
            self.keys[key_digest(self._given[client])] = client
        return self._given[client]
