"""A database of Cosmos DB: its containers, what is tried again, and what was charged."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError
from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from watchkeeper.errors import Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.cosmos import ContainerProxy

T = TypeVar("T")

CONNECT_S, READ_S, TRIES = 2, 5, 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5
# Time-out, partition moved, throttled inside of a batch, concurrent change, away.
PASSING = frozenset({408, 410, 429, 449, 503})
CHARGE = "x-ms-request-charge"


class CosmosDatabase:
    """Containers by name. The client is made at first use: making it asks the account where it is.

    `credential`: an identity, or an account's key where that is allowed. `charges` adds up the request units of all
    that was asked, here and by others that were given the same. `tries` of each request, which waits `wait_s` seconds
    for its answer.
    """

    def __init__(
        self,
        endpoint: str,
        credential: TokenCredential | str,
        name: str,
        *,
        tries: int = TRIES,
        wait_s: float = READ_S,
        charges: Charges | None = None,
    ) -> None:
        self.charges = charges or Charges()
        self._endpoint, self._credential, self._name = endpoint, credential, name
        self._tries, self._wait_s = tries, wait_s
        self._lock = threading.Lock()
        self._client: CosmosClient | None = None
        self._containers: dict[str, ContainerProxy] = {}

    def ask(self, container: str, act: Callable[[ContainerProxy], T]) -> T:
        """What `act` answers, which is tried again while trouble may pass: so it may happen twice.

        The library tries again only what was read, and only in other regions. It raises what the library does, for
        `waiting_for`.
        """
        for number in range(self._tries):
            try:
                return act(self._container(container))
            except AzureError as error:
                if number + 1 == self._tries or not _may_pass(error):
                    raise
            time.sleep(FIRST_PAUSE_S * 2**number * random.uniform(0.5, 1.0))  # noqa: S311 - so that not all wait alike
        raise AssertionError("the last try answers or raises")

    def close(self) -> None:
        """Close the client; what is asked later makes another one."""
        with self._lock:
            if self._client:
                self._client.close()
            self._client = None
            self._containers = {}

    def _container(self, name: str) -> ContainerProxy:
        """Unavailable: there is none of this name, which must not be taken for one that is empty."""
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            if name not in self._containers:
                container = self._client.get_database_client(self._name).get_container_client(name)
                try:
                    container.read()  # the library asks for this at first use in any case, and keeps it
                except CosmosResourceNotFoundError as error:
                    text = f"Cosmos DB {name}: there is no such container in the database {self._name}"
                    raise Unavailable(text) from error
                self._containers[name] = container
            return self._containers[name]

    def _new_client(self) -> CosmosClient:
        return CosmosClient(
            self._endpoint,
            self._credential,
            connection_timeout=min(CONNECT_S, self._wait_s),
            read_timeout=self._wait_s,
            retry_total=0,
            retry_throttle_total=min(1, self._tries - 1),  # after the time that the service names
            retry_throttle_backoff_max=LONGEST_PAUSE_S,
            enable_compact_utf8_item_writes=True,
            raw_response_hook=self.charges.take,
        )


class Charges:
    """Request units, added up from the answers of the service; refused requests cost, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._units = 0.0

    def take(self, response: Any) -> None:  # noqa: ANN401 - the pipeline's response, whose type is its transport's
        """Add what an answer says."""
        if charge := response.http_response.headers.get(CHARGE):
            self.add(float(charge))

    def add(self, units: float) -> None:
        """Add so many."""
        with self._lock:
            self._units += units

    def spent(self) -> float:
        """What was charged since this was last asked."""
        with self._lock:
            units, self._units = self._units, 0.0
        return units


def _may_pass(error: AzureError) -> bool:
    return error.status_code in PASSING if isinstance(error, HttpResponseError) else True
