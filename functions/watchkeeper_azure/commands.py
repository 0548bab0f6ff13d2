"""What is asked by hand: `{"command": "ping"}`, or with publish-knowledge, new-key or models in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import ConfigError
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper_adapters.cloud.model_command import COMMAND, change_models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watchkeeper_azure.container import Container


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    name: str = ""  # of new-key: whose key it is
    tenant: str = DEFAULT_TENANT


def command(body: bytes, stages: Sequence[str], container: Container) -> Mapping[str, object]:
    """Its answer. ConfigError: there is no such command, or it cannot be done in this app."""
    try:
        given = msgspec.json.decode(body, type=dict[str, object])
        if given.get("command") == COMMAND:
            return _models(given, stages, container)
        asked = msgspec.convert(given, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f'a command is a JSON object such as {{"command": "ping"}}: {error}'
        raise ConfigError(text) from error
    if asked.command == "ping":
        return {"app": ",".join(stages), "bundle": container.published.bundle.version}
    if asked.command == "publish-knowledge":
        return {"bundle": container.publish_knowledge()}
    if asked.command == "new-key":
        return _new_key(asked, stages, container)
    text = f"command {asked.command[:40]!r} is not known; known are ping, publish-knowledge, new-key and models"
    raise ConfigError(text)


def _models(given: Mapping[str, object], stages: Sequence[str], container: Container) -> Mapping[str, object]:
    if "retrain" not in stages:
        raise ConfigError("models: they are changed by the app of retrain, which alone may write them")
    return change_models(given, container.ports.blobs, container.clock())


def _new_key(asked: _Asked, stages: Sequence[str], container: Container) -> dict[str, str]:
    if "api" not in stages:
        raise ConfigError("new-key: keys are made by the app of api, which alone may write them")
    if not asked.name:
        raise ConfigError('new-key: "name" says whose key it is to be')
    from watchkeeper_azure.doors import Owner, new_key

    return {"key": new_key(container.ports.tables, Owner(asked.name, asked.tenant))}
