"""The composition root: what a process of an app holds for as long as it lives, built once and when needed."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceNotFoundError

from watchkeeper.ports import Ports
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.cloud.container import CloudContainer, language_model_of, receivers_of, wall_clock
from watchkeeper_azure.blobs import AzureBlobs
from watchkeeper_azure.event_hubs import EventHubsStream
from watchkeeper_azure.failures import waiting_for
from watchkeeper_azure.meter import CosmosMeter
from watchkeeper_azure.observing import of_alerts, said_of
from watchkeeper_azure.prices import METERED
from watchkeeper_azure.secret_store import SecretStore
from watchkeeper_azure.services import Services
from watchkeeper_azure.settings import Settings, read_settings
from watchkeeper_azure.tables import CosmosTables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watchkeeper.ports import LanguageModel
    from watchkeeper.records import Alert
    from watchkeeper_azure.pushes import Pushes
    from watchkeeper_azure.web_pubsub import WebPubSub

HOUR_MS = 3_600_000


class Container(CloudContainer):
    """Everything by which an app reaches Azure. `ports` may be given, and so may the `clock`: in tests."""

    def __init__(self, settings: Settings, ports: Ports | None = None, clock: Callable[[], int] = wall_clock) -> None:
        """Nothing is opened yet."""
        super().__init__(
            ports,
            clock,
            shards=settings.shards,
            reserve_ms=settings.reserve_ms,
            budget=settings.budget,
            metered=METERED,
            knowledge=Path(__file__).parents[1] / settings.knowledge_base,
        )
        self.settings, self.shadow_ms = settings, round(settings.shadow_hours * HOUR_MS)
        self._services = Services(settings)
        self._stream: EventHubsStream | None = None

    def open_ports(self) -> Ports:
        """Event Hubs, Cosmos DB and Blob Storage."""
        settings, services = self.settings, self._services
        blobs = AzureBlobs(services.blob_container)
        stream = self._stream = EventHubsStream(services.event_hubs, partitions=settings.partitions)
        return Ports(
            ClaimChecked(stream, blobs),
            CosmosTables(services.cosmos),
            blobs,
            CosmosMeter(services.cosmos, with_charges=True),
            contextlib.nullcontext,
            self._language_model(),
            receivers_of(self._secret(settings.receivers_secret)),
        )

    def open_pushes(self) -> Pushes | None:
        """By groups of Web PubSub, where the app is told where it is."""
        if not self.settings.web_pubsub:
            return None
        from watchkeeper_azure.pushes import Pushes

        return Pushes(CosmosTables(self._services.quick_cosmos), self._services.web_pubsub)

    def note(self, alerts: Sequence[Alert]) -> None:
        """A line for each, which rules of Azure Monitor look for: only they can tell action groups."""
        for alert in alerts:
            of_alerts.info("%s", said_of(alert))

    @property
    def web_pubsub(self) -> WebPubSub | None:
        """What lets people listen; None: nothing does here."""
        return self._services.web_pubsub if self.settings.web_pubsub else None

    def read_file(self, name: str) -> bytes | None:
        """A file that somebody else has put into the container of blobs; None: it is not there."""
        if self._ports is not None:
            blob = self._ports.blobs.get_many([name]).get(name)
            return blob.data if blob else None
        with waiting_for(f"blob {name}"):
            try:
                return self._services.blob_container.download_blob(name).readall()
            except ResourceNotFoundError as error:
                if getattr(error, "error_code", None) == "ContainerNotFound":
                    raise
                return None

    def close(self) -> None:
        """Let go of connections; Azure itself never asks for it."""
        if self._stream is not None:
            self._stream.close()
        self._services.close()

    def _language_model(self) -> LanguageModel | None:
        told = self.settings
        token = self._services.model_token if told.model_login == "identity" else None
        return language_model_of(
            told.model_url, told.model_name, self._secret(told.model_secret), told.model_api_version, token
        )

    def _secret(self, name: str) -> Mapping[str, str]:
        return SecretStore(self._services.vault).fields(name) if name else {}


class Held:
    """The container of this process, made by whoever needs it first: a process serves several invocations at once."""

    def __init__(self, make: Callable[[], Container] = lambda: Container(read_settings())) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: Container | None = None

    def __call__(self) -> Container:
        """It. ConfigError: the environment says what cannot be."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made
