"""Reads a stack's configuration: all that is wrong with it is said at once, before any resource is made."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from watchkeeper_infra import aws_config, azure_config
from watchkeeper_infra.errors import StackConfigError
from watchkeeper_infra.keys import NAMESPACE, allowed, read, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from watchkeeper_infra.stack_config import StackConfig

STACK = re.compile(r"[a-z][a-z0-9-]{1,19}")


@dataclasses.dataclass(frozen=True)
class Given:
    """A stack's configuration as Pulumi gives it: texts by `namespace:key`, and which of them are secret."""

    stack: str
    values: Mapping[str, str]
    secret: AbstractSet[str] = frozenset()


class Cloud(NamedTuple):
    """What can be set for a cloud's stacks, which of it is secret, what does not go together, and Pulumi's own key."""

    config: type[StackConfig]
    secrets: AbstractSet[str]
    contradictions: Callable[[Any], Iterator[str]]
    region: str
    such_as: str


CLOUDS = {
    "aws": Cloud(aws_config.AwsConfig, aws_config.SECRETS, aws_config.contradictions, "aws:region", "eu-central-1"),
    "azure": Cloud(
        azure_config.AzureConfig,
        azure_config.SECRETS,
        azure_config.contradictions,
        "azure-native:location",
        "westeurope",
    ),
}


def read_config(given: Given) -> StackConfig:
    """The configuration, of the cloud that it names.

    StackConfigError: a line for each key that is unknown, missing, or has a wrong value.
    """
    problems = []
    if not STACK.fullmatch(given.stack):
        problems.append(
            f"the stack's name: {given.stack!r} is not allowed; 2 to 20 lower-case letters, digits and hyphens"
        )
    ours = {k.partition(":")[2]: v for k, v in given.values.items() if k.partition(":")[0] == NAMESPACE}
    cloud = CLOUDS.get(ours.get("cloud", ""))
    if cloud is None:
        raise StackConfigError([*problems, wrong("cloud", ours.get("cloud"), " or ".join(CLOUDS))])
    if cloud.region not in given.values:
        problems.append(f"{cloud.region}: missing; the name of a region, such as {cloud.such_as}")
    values = _values(ours, cloud, given.secret, problems)
    if problems:
        raise StackConfigError(problems)
    config = cloud.config(**values)
    if together := list(cloud.contradictions(config)):
        raise StackConfigError(together)
    return config


def _values(ours: Mapping[str, str], cloud: Cloud, secret: AbstractSet[str], problems: list[str]) -> dict[str, Any]:
    """The values by field; what is wrong with the others is put among the problems."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(cloud.config)}
    hints = typing.get_type_hints(cloud.config, include_extras=True)
    values: dict[str, Any] = {}
    for key, value in ours.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            problems.append(f"{NAMESPACE}:{key}: unknown key{f' (did you mean {near[0]}?)' if near else ''}")
            continue
        name = fields[key].name
        if name in cloud.secrets and f"{NAMESPACE}:{key}" not in secret:
            problems.append(f"{NAMESPACE}:{key}: given in plain text; `pulumi config set --secret {key}`")
            continue
        try:
            values[name] = read(value, hints[name])
        except (msgspec.ValidationError, json.JSONDecodeError):
            problems.append(wrong(key, None if name in cloud.secrets else value, allowed(hints[name])))
    for key, field in fields.items():
        if field.required and key not in ours:
            problems.append(f"{NAMESPACE}:{key}: missing; {allowed(hints[field.name])}")
    return values
