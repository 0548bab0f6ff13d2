"""Settings of the local runtime: from flags, the environment (`WATCHKEEPER_*`) and a TOML file, in that order."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "WATCHKEEPER_"
CONFIG_FILE = "CONFIG"  # names the TOML file
NO_SETTINGS = {CONFIG_FILE, "API_KEY"}  # the latter is for `replay` and `status`, which ask the API

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
PortOfTwo = Annotated[int, msgspec.Meta(ge=1, le=65_534)]  # the broker takes the next one as well
Count = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Lag = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set; docs/configuration.md is made from these docstrings' neighbours in `HELP`."""

    data_dir: str = "watchkeeper-data"
    knowledge_base: str = ""
    host: str = "127.0.0.1"
    http_port: Port = 8080
    mqtt_port: PortOfTwo = 1883
    mqtt_broker: str = ""
    mqtt_user: str = ""
    mqtt_password: str = ""
    mqtt_certificate: str = ""
    mqtt_key: str = ""
    mqtt_ca: str = ""
    mqtt_lag: Lag = 100_000
    mqtt_device_rate: Amount = 0.0
    watch_folder: str = ""
    api_keys: tuple[str, ...] = ()
    requests_per_second: Amount = 1000.0
    request_burst: Count = 50
    workers: Count = 2
    shards: Count = 4
    partitions: Count = 4
    receivers: tuple[str, ...] = ("console",)
    webhook_secret: str = ""
    budget: Amount = 0.0
    model_url: str = ""
    model_name: str = ""
    model_key: str = ""
    retrain_hours: Amount = 24.0
    shadow_hours: Amount = 24.0
    kafka: str = ""
    kafka_user: str = ""
    kafka_password: str = ""
    kafka_tls: bool = False
    kafka_ca: str = ""
    kafka_prefix: str = ""
    kafka_static: bool = False
    stores: str = ""
    canary: bool = True
    silence_seconds: Annotated[float, msgspec.Meta(ge=10)] = 60.0
    heartbeat_url: str = ""
    log_level: str = "warning"


HELP: Mapping[str, str] = {
    "data_dir": "folder of the database; made if it is not there",
    "knowledge_base": "folder with devices/, rules/ and runbooks/; empty: the one that is shipped",
    "host": "address to listen on; beyond loopback, API keys and an MQTT password are required",
    "http_port": "port of the API",
    "mqtt_port": "port of the embedded MQTT broker, for MQTT 3.1.1; the next one is for MQTT 5",
    "mqtt_broker": "URL of an external broker (mqtt:// or mqtts://) to use instead of the embedded one",
    "mqtt_user": "user that devices give the embedded broker; with mqtt_password",
    "mqtt_password": "password that devices give the embedded broker",
    "mqtt_certificate": "PEM file with the embedded broker's certificate: it then speaks TLS only",
    "mqtt_key": "PEM file with the key of that certificate",
    "mqtt_ca": "PEM file with the authority to trust: of the broker's certificate",
    "mqtt_lag": "device messages that may wait before no more is taken from an external broker; 0: any number",
    "mqtt_device_rate": "messages a second taken of each device from an external broker; 0: any number",
    "watch_folder": "folder whose files (CSV, NDJSON, JSON, MessagePack, .gz of them) are taken as they appear",
    "api_keys": "keys of the API, each name=key or name@tenant=key; in the environment separated by commas",
    "requests_per_second": "HTTP requests a second for each client; 0: no limit",
    "request_burst": "HTTP requests a client may make at once beyond that",
    "workers": "processes that run the pipeline; at most the number of partitions are of use",
    "shards": "what devices are divided into; stored in the data folder, and never changed",
    "partitions": "what a stream is divided into; stored in the data folder, and never changed",
    "receivers": "where alerts go: console, webhook=URL, teams=URL, file=PATH; in the environment separated by commas",
    "webhook_secret": "what webhooks are signed with (HMAC-SHA256); empty: they are not signed",
    "budget": "US dollars a month; 0: no budget",
    "model_url": "base URL of an OpenAI-compatible endpoint for explanations; empty: none",
    "model_name": "name of the language model there",
    "model_key": "its API key",
    "retrain_hours": "hours between trainings of the detection model; 0: never by itself",
    "shadow_hours": "hours of data that must come after a model was learnt before it may be promoted; 0: none",
    "kafka": "brokers for `work`: HOST:PORT, several separated by commas in one text",
    "kafka_user": "user of the Kafka cluster (SCRAM-SHA-512 over TLS); with kafka_password",
    "kafka_password": "password of that user",
    "kafka_tls": "speak TLS with the Kafka cluster; a user or an authority means it, too",
    "kafka_ca": "PEM file with the authority to trust: of the brokers' certificates",
    "kafka_prefix": "what the names of topics and groups begin with, where several pipelines share a cluster",
    "kafka_static": "keep the partitions of a worker that starts again for it (a fixed group.instance.id)",
    "stores": "where `work` keeps all but the stream; empty: the data folder; for many machines aws:BUCKET/PREFIX",
    "canary": "send readings of its own, and alert when they do not come out; `--no-canary` switches it off",
    "silence_seconds": "seconds without any movement after which the pipeline is silent; at least 10",
    "heartbeat_url": "URL that is requested every minute while the pipeline flows; empty: none",
    "log_level": "debug, info, warning or error",
}

FIELDS = msgspec.structs.fields(Settings)
LISTS = {field.name for field in FIELDS if isinstance(field.default, tuple)}
TYPES = {field.name: field.type for field in FIELDS}
SECRETS = {
    "api_keys",
    "mqtt_password",
    "webhook_secret",
    "model_key",
    "kafka_password",
    "receivers",
    "mqtt_broker",
    "heartbeat_url",
}


PAIRS = (
    ("mqtt_user", "mqtt_password"),
    ("mqtt_certificate", "mqtt_key"),
    ("model_url", "model_name"),
    ("kafka_user", "kafka_password"),
)


def read_settings(flags: Mapping[str, Any], environment: Mapping[str, str], file: str = "") -> Settings:
    """The settings. ConfigError: an unknown name (with a suggestion), a value that is not allowed, or an unsafe choice.

    `flags` holds what was given on the command line, `file` the TOML file named there; `WATCHKEEPER_CONFIG` names one
    too.
    """
    file = file or environment.get(PREFIX + CONFIG_FILE, "")
    given: dict[str, tuple[Any, str]] = {}
    for name, value in (_file(Path(file)) if file else {}).items():
        given[name] = (value, f"{file}: {name}")
    for name, text in environment.items():
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and key.upper() not in NO_SETTINGS:
            _known(key, f"environment variable {name}", PREFIX)
            parts = [part.strip() for part in text.split(",") if part.strip()]
            given[key] = (parts if key in LISTS else text, f"environment variable {name}")
    for name, value in flags.items():
        if value is not None:
            given[name] = (value, f"--{name.replace('_', '-')}")
    settings = Settings(**{name: _converted(name, *what) for name, what in given.items()})
    _check(settings)
    return settings


def _converted(name: str, value: Any, where: str) -> Any:  # noqa: ANN401 - each setting has a type of its own
    try:
        return msgspec.convert(value, TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        shown = "" if name in SECRETS else f" {value!r}"
        message = f"{where}:{shown} does not fit: {error}"
        raise ConfigError(message) from error


def is_loopback(host: str) -> bool:
    """Is nobody but this machine served at this address?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"settings file {path}: {error}"
        raise ConfigError(message) from error
    for key in values:
        _known(key, f"{path}: setting {key!r}", "")
    return values


def _known(key: str, what: str, prefix: str) -> None:
    names = [field.name for field in msgspec.structs.fields(Settings)]
    if key in names:
        return
    near = difflib.get_close_matches(key, names, 1)
    shown = (prefix + near[0].upper() if prefix else near[0]) if near else ""
    message = f"{what} is not known" + (f"; did you mean {shown}?" if shown else f"; known are {', '.join(names)}")
    raise ConfigError(message)


def _check(settings: Settings) -> None:
    problems = []
    if not is_loopback(settings.host):
        if not settings.api_keys:
            problems.append(f"host {settings.host} is reachable from elsewhere: set api_keys (name=key)")
        if not settings.mqtt_broker and not settings.mqtt_password:
            problems.append(f"host {settings.host} is reachable from elsewhere: set mqtt_user and mqtt_password")
    for one, other in (
        ("mqtt_user", "mqtt_password"),
        ("mqtt_certificate", "mqtt_key"),
        ("model_url", "model_name"),
        ("kafka_user", "kafka_password"),
    ):
        if bool(getattr(settings, one)) != bool(getattr(settings, other)):
            problems.append(f"{one} and {other} go together: set both or none")
    if settings.mqtt_certificate and not settings.mqtt_broker and not settings.mqtt_ca:
        problems.append(
            "mqtt_certificate needs mqtt_ca, the authority that signed it: the pipeline itself connects by TLS too"
        )
    if settings.mqtt_device_rate and not settings.mqtt_broker:
        problems.append(
            "mqtt_device_rate needs mqtt_broker: the embedded one has acknowledged a message before anybody can wait"
        )
    problems += [f"api_keys: {key.split('=')[0]!r} is not name=key" for key in settings.api_keys if not _key_fits(key)]
    if settings.heartbeat_url and not settings.canary:
        problems.append("heartbeat_url is requested while the canary's readings come out: it needs canary")
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        problems.append(f"log_level {settings.log_level!r}: debug, info, warning or error is expected")
    if settings.partitions > settings.shards:
        problems.append(
            f"partitions {settings.partitions} is more than shards {settings.shards}: some would stay empty"
        )
    if problems:
        raise ConfigError("\n".join(problems))


def _key_fits(text: str) -> bool:
    name, found, key = text.partition("=")
    return bool(name and found and key)
