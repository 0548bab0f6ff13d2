"""What is asked by hand: `{"command": "ping"}`, `{"command": "publish-knowledge"}`, `{"command": "new-key", …}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import ConfigError
from watchkeeper.records import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper_azure.container import Container


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    name: str = ""  # of new-key: whose key it is
    tenant: str = DEFAULT_TENANT


def command(body: bytes, stages: Sequence[str], container: Container) -> dict[str, str]:
    """Its answer. ConfigError: there is no such command, or it cannot be done in this app."""
    try:
        asked = msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = f'a command is a JSON object such as {{"command": "ping"}}: {error}'
        raise ConfigError(text) from error
    if asked.command == "ping":
        return {"app": ",".join(stages), "bundle": container.published.bundle.version}
    if asked.command == "publish-knowledge":
        return {"bundle": container.publish_knowledge()}
    if asked.command == "new-key":
        return _new_key(asked, stages, container)
    text = f"command {asked.command[:40]!r} is not known; known are ping, publish-knowledge and new-key"
    raise ConfigError(text)


def _new_key(asked: _Asked, stages: Sequence[str], container: Container) -> dict[str, str]:
    if "api" not in stages:
        raise ConfigError("new-key: keys are made by the app of api, which alone may write them")
    if not asked.name:
        raise ConfigError('new-key: "name" says whose key it is to be')
    from watchkeeper_azure.doors import Owner, new_key

    return {"key": new_key(container.ports.tables, Owner(asked.name, asked.tenant))}
