"""Reads a stack's configuration: all that is wrong with it is said at once, before any resource is made."""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import json
import re
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from watchkeeper.records import Severity
from watchkeeper.topology import TOPICS
from watchkeeper_infra.aws_config import PARTITIONS_PER_BROKER, SECRETS, AwsConfig
from watchkeeper_infra.errors import StackConfigError
from watchkeeper_infra.functions import FUNCTIONS
from watchkeeper_infra.words import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

NAMESPACE = "watchkeeper"
CLOUDS = ("aws",)
MOST_PARTITIONS = 4000
MOST_POLLERS = 2000  # of all mappings in a group
STACK = re.compile(r"[a-z][a-z0-9-]{1,19}")
MAIL = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
LISTS = (list, tuple, dict)


@dataclasses.dataclass(frozen=True)
class Given:
    """A stack's configuration as Pulumi gives it: texts by `namespace:key`, and which of them are secret."""

    stack: str
    values: Mapping[str, str]
    secret: AbstractSet[str] = frozenset()


def read_config(given: Given) -> AwsConfig:
    """The configuration. StackConfigError: a line for each key that is unknown, missing, or has a wrong value."""
    problems = []
    if not STACK.fullmatch(given.stack):
        problems.append(
            f"the stack's name: {given.stack!r} is not allowed; 2 to 20 lower-case letters, digits and hyphens"
        )
    ours = {k.partition(":")[2]: v for k, v in given.values.items() if k.partition(":")[0] == NAMESPACE}
    if ours.get("cloud") not in CLOUDS:
        raise StackConfigError([*problems, _wrong("cloud", ours.get("cloud"), " or ".join(CLOUDS))])
    if "aws:region" not in given.values:
        problems.append("aws:region: missing; the name of a region, such as eu-central-1")
    fields = {field.encode_name: field for field in msgspec.structs.fields(AwsConfig)}
    hints = typing.get_type_hints(AwsConfig, include_extras=True)
    read: dict[str, Any] = {}
    for key, value in ours.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            problems.append(f"{NAMESPACE}:{key}: unknown key{f' (did you mean {near[0]}?)' if near else ''}")
            continue
        name = fields[key].name
        if name in SECRETS and f"{NAMESPACE}:{key}" not in given.secret:
            problems.append(f"{NAMESPACE}:{key}: given in plain text; `pulumi config set --secret {key}`")
            continue
        try:
            read[name] = msgspec.convert(_parsed(value, hints[name]), hints[name], strict=False)
        except (msgspec.ValidationError, json.JSONDecodeError):
            problems.append(_wrong(key, None if name in SECRETS else value, allowed(hints[name])))
    for key, field in fields.items():
        if field.required and key not in ours:
            problems.append(f"{NAMESPACE}:{key}: missing; {allowed(hints[field.name])}")
    if problems:
        raise StackConfigError(problems)
    config = AwsConfig(**read)
    if together := list(_contradictions(config)):
        raise StackConfigError(together)
    return config


def allowed(hint: Any) -> str:  # noqa: ANN401 - a type
    """What a key's type allows, for people."""
    if typing.get_origin(hint) is Annotated:
        described = [meta.description for meta in hint.__metadata__ if getattr(meta, "description", None)]
        return described[0] if described else allowed(typing.get_args(hint)[0])
    if typing.get_origin(hint) is Literal:
        *most, last = (str(value) for value in typing.get_args(hint))
        return f"{', '.join(most)} or {last}" if most else last
    if typing.get_origin(hint) is dict:
        return f"a map from names to {allowed(typing.get_args(hint)[1])}"
    if typing.get_origin(hint) is tuple:
        return "a list of texts"
    return {bool: "true or false", str: "a text"}[hint]


def _parsed(value: str, hint: Any) -> Any:  # noqa: ANN401 - of each key's own type
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if (typing.get_origin(inner) or inner) in LISTS:
        return json.loads(value)
    if typing.get_origin(inner) is Literal and isinstance(typing.get_args(inner)[0], int):
        return int(value) if value.isdecimal() else value
    return value


def _wrong(key: str, value: object, instead: str) -> str:
    shown = "" if value is None else f"{value!r} "
    return f"{NAMESPACE}:{key}: {shown}is not allowed; {instead}"


def _contradictions(config: AwsConfig) -> Iterator[str]:
    """What each key allows by itself, and the others do not."""
    yield from _network(config)
    yield from _stream(config)
    for name, known in (("memoryMb", config.memory_mb), ("versions", config.versions)):
        for function in known:
            if function not in FUNCTIONS:
                yield _wrong(name, function, f"a function: {', '.join(FUNCTIONS)}")
    topics = [*Severity, OPERATIONS]
    for topic, addresses in config.alert_emails.items():
        if topic not in topics:
            yield _wrong("alertEmails", topic, f"by {', '.join(topics)}")
        yield from (_wrong("alertEmails", a, "mail addresses") for a in addresses if not MAIL.fullmatch(a))
    if bool(config.issuer) != bool(config.audience):
        yield _wrong("audience", config.audience, "an audience where an issuer is named, and nothing where none is")
    if config.model != "none" and not config.model_name:
        yield _wrong("modelName", "", f"the name of a model of {config.model}")
    if config.model != "none" and not config.model_key:
        yield "watchkeeper:modelKey: missing; the key of the model's service, as a secret"


def _network(config: AwsConfig) -> Iterator[str]:
    try:
        network = ipaddress.IPv4Network(config.cidr)
    except ValueError as error:
        yield _wrong("cidr", config.cidr, f"a private IPv4 network of /16 to /20 ({error})")
    else:
        if not network.is_private:
            yield _wrong("cidr", config.cidr, "a private network: within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
    if config.nat == "none":
        reasons = {
            "receivers": config.receivers,
            "model openai": config.model == "openai",
        }
        for reason in (reason for reason, given in reasons.items() if given):
            yield _wrong("nat", config.nat, f"one or per-zone where {reason} is set: it is outside AWS")


def _stream(config: AwsConfig) -> Iterator[str]:
    if config.kafka_brokers % config.zones:
        yield _wrong("kafkaBrokers", config.kafka_brokers, f"a multiple of the {config.zones} zones")
    if config.partitions > config.shards:
        yield _wrong("partitions", config.partitions, f"at most the {config.shards} shards")
    carried = PARTITIONS_PER_BROKER.get(config.kafka_instance, MOST_PARTITIONS)
    replicas = sum(config.partitions if topic.sharded else 1 for topic in TOPICS.values()) * min(
        3, config.kafka_brokers
    )
    if replicas > carried * config.kafka_brokers:
        yield _wrong(
            "partitions",
            config.partitions,
            f"{replicas} replicas are more than {config.kafka_brokers} brokers {config.kafka_instance} carry "
            f"({carried} each)",
        )
    if config.retry_hours >= config.retention_hours:
        yield _wrong("retryHours", config.retry_hours, f"less than the {config.retention_hours} hours of retention")
    if config.pollers_at_most < config.pollers:
        yield _wrong("pollersAtMost", config.pollers_at_most, f"at least the {config.pollers} pollers")
    mappings = sum(len(function.topics) for function in FUNCTIONS.values())
    if config.pollers_at_most * mappings > MOST_POLLERS:
        most = f"at most {MOST_POLLERS // mappings}: {mappings} mappings share a group of {MOST_POLLERS}"
        yield _wrong("pollersAtMost", config.pollers_at_most, most)
