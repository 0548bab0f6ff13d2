"""What a function is told by its environment; `infra/` sets it, and docs/aws.md says what each name means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from watchkeeper.errors import ConfigError
from watchkeeper.pipeline import MAY_WAIT

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "WATCHKEEPER_"
REGION = "AWS_REGION"
ENDPOINT = "AWS_ENDPOINT_URL"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One function's settings. What is empty is not used by it."""

    stage: str = ""  # the function's row of the pipeline
    stack: str = ""
    kafka_brokers: str = ""  # HOST:PORT, several separated by commas
    kafka_login: Literal["iam", "scram", "none"] = "iam"  # none: in the clear, for tests
    kafka_secret: str = ""  # secret with username and password, for scram
    kafka_prefix: str = ""  # before the names of topics and groups
    kafka_timeout_s: float = 8.0  # of each call; longer outages are the next invocation's
    bucket: str = ""
    table_prefix: str = ""
    shards: int = 64
    partitions: int = 0  # of the sharded topics; 0: the cluster is asked
    alert_topics: dict[str, str] = {}  # severity: ARN of the SNS topic
    sockets_url: str = ""  # of the WebSocket API's stage, https; empty: nobody is told by WebSocket
    receivers_secret: str = ""  # secret with receivers (as in docs/configuration.md) and webhook_secret
    model_name: str = ""
    model_url: str = ""
    model_secret: str = ""  # secret with model_key
    budget: float = 0.0  # US dollars a month; 0: none
    waiting_hours: float = 0.0  # for which a cutoff makes stages wait, at most; 0: none is stopped
    waiting_functions: dict[str, str] = {}  # stage: its function, with the alias that its mappings call
    issuer: str = ""  # of people's tokens, for the authorizer
    audience: str = ""  # what the tokens' `aud` or `client_id` must be
    knowledge_base: str = "knowledge_base"  # folder in the bundle, published where nothing is in force yet
    shadow_hours: float = 24.0  # of data that must come after a model was learnt before it may be promoted
    reserve_ms: int = 8000  # what is not begun with less time left than this
    aws_tries: int = 4  # of each request to AWS, with growing pauses in between
    region: str = ""
    endpoint: str = ""  # where AWS is emulated


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this function. ConfigError: a value does not fit; it is not repeated."""
    told = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = told.get(PREFIX + field.name.upper(), "")
        if text:
            given[field.name] = _value(field, text)
    given |= {"region": told.get(REGION, ""), "endpoint": told.get(ENDPOINT, "")}
    settings = Settings(**given)
    if settings.shards < 1 or settings.partitions < 0:
        raise ConfigError(f"{PREFIX}SHARDS and {PREFIX}PARTITIONS: positive numbers are expected")
    missing = [stage for stage in MAY_WAIT if stage not in settings.waiting_functions]
    if settings.waiting_hours and missing:
        raise ConfigError(f"{PREFIX}WAITING_FUNCTIONS does not name the function of {', '.join(missing)}")
    return settings


def _value(field: msgspec.structs.FieldInfo, text: str) -> Any:  # noqa: ANN401 - each setting has a type of its own
    try:
        if field.type == dict[str, str]:
            return msgspec.json.decode(text, type=dict[str, str])
        return msgspec.convert(text, field.type, strict=False)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{PREFIX}{field.name.upper()} does not fit: {error}") from error
