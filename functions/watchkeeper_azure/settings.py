"""What a function is told by its environment; `infra/` sets it, and docs/azure.md says what each name means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "WATCHKEEPER_"
IDENTITY = "AZURE_CLIENT_ID"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One app's settings. What is empty is not used by it."""

    stage: str = ""  # the function's row of the pipeline
    stack: str = ""
    event_hubs: str = ""  # namespace, as NAME.servicebus.windows.net
    event_hubs_connection: str = ""  # instead of it, a connection string; for tests
    event_hubs_timeout_s: float = 8.0  # of each call; longer outages are the next invocation's
    cosmos: str = ""  # endpoint of the account
    cosmos_key: str = ""  # for tests: deployed accounts take identities only
    cosmos_database: str = "watchkeeper"
    storage: str = ""  # blob service, as https://NAME.blob.core.windows.net
    storage_connection: str = ""  # instead of it, a connection string; for tests
    blob_container: str = "lake"
    key_vault: str = ""  # vault, as https://NAME.vault.azure.net
    shards: int = 64
    partitions: int = 0  # of the sharded hubs; 0: the namespace is asked
    receivers_secret: str = ""  # secret with receivers (as in docs/configuration.md) and webhook_secret
    model_name: str = ""
    model_url: str = ""
    model_login: Literal["key", "identity"] = "key"  # identity: the model is Azure OpenAI, and asked as the app itself
    model_secret: str = ""  # secret with model_key
    model_api_version: str = ""  # of a classic endpoint of Azure OpenAI; one that ends in /v1 takes none
    web_pubsub: str = ""  # endpoint of the service that reaches dashboards
    budget: float = 0.0  # US dollars a month; 0: none
    issuer: str = ""  # of people's tokens
    audience: str = ""  # what the tokens' `aud` must be
    knowledge_base: str = "knowledge_base"  # folder in the package, published where nothing is in force yet
    shadow_hours: float = 24.0  # of data that must come after a model was learnt before it may be promoted
    reserve_ms: int = 8000  # what is not begun with less time left than this
    client_id: str = ""  # of the user-assigned identity; its name is AZURE_CLIENT_ID


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this app. ConfigError: a value does not fit; secret ones are not repeated."""
    told = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name = IDENTITY if field.name == "client_id" else PREFIX + field.name.upper()
        if text := told.get(name, ""):
            given[field.name] = _value(name, field.type, text)
    settings = Settings(**given)
    _check(settings)
    return settings


def _value(name: str, kind: Any, text: str) -> Any:  # noqa: ANN401 - each setting has a type of its own
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{name} does not fit: {error}") from error


def _check(settings: Settings) -> None:
    if settings.shards < 1:
        raise ConfigError(f"{PREFIX}SHARDS: 1 or more is expected")
    if not 0 <= settings.partitions <= 32:
        raise ConfigError(f"{PREFIX}PARTITIONS: 1 to 32 is expected, or 0 for as many as the hubs have")
    for name in ("cosmos", "storage", "key_vault", "web_pubsub"):
        if (text := getattr(settings, name)) and not text.startswith(("https://", "http://127.0.0.1")):
            raise ConfigError(f"{PREFIX}{name.upper()}: an address that begins with https:// is expected")
    if "/" in settings.event_hubs or ":" in settings.event_hubs:
        raise ConfigError(f"{PREFIX}EVENT_HUBS: a name is expected, as NAME.servicebus.windows.net")
    if settings.event_hubs_timeout_s <= 0:
        raise ConfigError(f"{PREFIX}EVENT_HUBS_TIMEOUT_S: more than 0 seconds are expected")
    if settings.model_login == "identity":
        _check_identity(settings)
    for one, other in (("event_hubs", "event_hubs_connection"), ("storage", "storage_connection")):
        if getattr(settings, one) and getattr(settings, other):
            raise ConfigError(f"{PREFIX}{one.upper()} and {PREFIX}{other.upper()}: only one of them may be set")


def _check_identity(settings: Settings) -> None:
    if settings.model_secret:
        raise ConfigError(f"{PREFIX}MODEL_LOGIN is identity, so {PREFIX}MODEL_SECRET must not be set")
    if not settings.model_url.startswith(("https://", "http://127.0.0.1")):
        raise ConfigError(f"{PREFIX}MODEL_LOGIN is identity, so {PREFIX}MODEL_URL has to begin with https://")
