"""Clients of Azure: who we are there, and how long is waited."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.keyvault.secrets import SecretClient
    from azure.storage.blob import ContainerClient

    from watchkeeper_azure.cosmos import CosmosDatabase
    from watchkeeper_azure.event_hubs import Namespace
    from watchkeeper_azure.settings import Settings
    from watchkeeper_azure.web_pubsub import WebPubSub

CONNECT_S, READ_S, RETRIES = 2, 5, 3  # of each try of a request, and how often it is tried again
VAULT_OPTIONS: Mapping[str, Any] = {
    "retry_total": RETRIES,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 5.0,
    "connection_timeout": CONNECT_S,
    "read_timeout": READ_S,
}
MODEL_SCOPE = "https://cognitiveservices.azure.com/.default"
PUSH_WAIT_S = 1.0  # for each request by which listeners are told, which is tried once
WEB_PUBSUB_OPTIONS: Mapping[str, Any] = {"connection_timeout": PUSH_WAIT_S, "read_timeout": PUSH_WAIT_S}


class Services:
    """The clients of one process, each made when it is first asked for: making one may ask the service, or load much.

    Azure is asked as the app's own identity; connection strings and keys are for emulators. ConfigError: the setting
    that says where a service is is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @functools.cached_property
    def credential(self) -> TokenCredential:
        """The user-assigned identity that AZURE_CLIENT_ID names, or the app's only one."""
        from azure.identity import ManagedIdentityCredential

        client_id = self._settings.client_id
        return ManagedIdentityCredential(client_id=client_id) if client_id else ManagedIdentityCredential()

    @functools.cached_property
    def blob_container(self) -> ContainerClient:
        """The container that holds states, segments, models and bundles."""
        from azure.storage.blob import ContainerClient, ExponentialRetry

        told = self._settings
        # The library takes whole seconds by its types, and any number by its code.
        retry = ExponentialRetry(0, 2, RETRIES, random_jitter_range=1)
        if told.storage_connection:
            return ContainerClient.from_connection_string(
                told.storage_connection,
                told.blob_container,
                retry_policy=retry,
                connection_timeout=CONNECT_S,
                read_timeout=READ_S,
            )
        return ContainerClient(
            _needed(told.storage, "STORAGE"),
            told.blob_container,
            self.credential,
            retry_policy=retry,
            connection_timeout=CONNECT_S,
            read_timeout=READ_S,
        )

    @functools.cached_property
    def cosmos(self) -> CosmosDatabase:
        """The database with the tables."""
        from watchkeeper_azure.cosmos import CosmosDatabase

        told = self._settings
        return CosmosDatabase(_needed(told.cosmos, "COSMOS"), told.cosmos_key or self.credential, told.cosmos_database)

    @functools.cached_property
    def quick_cosmos(self) -> CosmosDatabase:
        """The same database, for what is done quickly or not at all."""
        from watchkeeper_azure.cosmos import CosmosDatabase

        told = self._settings
        return CosmosDatabase(
            _needed(told.cosmos, "COSMOS"),
            told.cosmos_key or self.credential,
            told.cosmos_database,
            tries=1,
            wait_s=PUSH_WAIT_S,
            charges=self.cosmos.charges,
        )

    @functools.cached_property
    def web_pubsub(self) -> WebPubSub:
        """The service that reaches dashboards."""
        from watchkeeper_azure.web_pubsub import WebPubSub

        return WebPubSub(_needed(self._settings.web_pubsub, "WEB_PUBSUB"), self.credential, **WEB_PUBSUB_OPTIONS)

    @property
    def model_token(self) -> Callable[[], str]:
        """Answers a token for Azure OpenAI, the same until it ends soon. Unavailable: there is none now."""
        from azure.identity import get_bearer_token_provider

        from watchkeeper_azure.failures import waiting_for

        provider = get_bearer_token_provider(self.credential, MODEL_SCOPE)

        def token() -> str:
            with waiting_for("a token for the language model"):
                return provider()

        return token

    @functools.cached_property
    def event_hubs(self) -> Namespace:
        """The namespace with the hubs."""
        from watchkeeper_azure.event_hubs import Namespace

        told = self._settings
        if told.event_hubs_connection:
            return Namespace(connection=told.event_hubs_connection, timeout_s=told.event_hubs_timeout_s)
        host = _needed(told.event_hubs, "EVENT_HUBS")
        return Namespace(host=host, credential=self.credential, timeout_s=told.event_hubs_timeout_s)

    @functools.cached_property
    def vault(self) -> SecretClient:
        """The vault with the secrets."""
        from azure.keyvault.secrets import SecretClient

        return SecretClient(
            _needed(self._settings.key_vault, "KEY_VAULT"),
            self.credential,
            **VAULT_OPTIONS,
        )

    def close(self) -> None:
        """Close those that were made."""
        made = self.__dict__
        for name in ("blob_container", "quick_cosmos", "cosmos", "web_pubsub", "vault", "credential"):
            if name in made:
                made.pop(name).close()


def _needed(value: str, name: str) -> str:
    if not value:
        raise ConfigError(f"WATCHKEEPER_{name} is not set; docs/azure.md says what it should be")
    return value
