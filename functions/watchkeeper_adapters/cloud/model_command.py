"""What people ask of retrain by hand: `{"command": "models", "action": "pin", "version": "m-…", "by": …, "why": …}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from watchkeeper.errors import ConfigError
from watchkeeper.model_in_force import Who, current_pin, pin_model, promote_model, roll_back_model, unpin_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.model_in_force import Pin
    from watchkeeper.ports import Blobs

COMMAND = "models"
TOLD = ("version", "previous", "pinned", "candidate")  # of the pointer


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    action: Literal["list", "promote", "pin", "unpin", "rollback"] = "list"
    version: str = ""
    by: str = ""
    why: str = ""


def change_models(asked: Mapping[str, object], blobs: Blobs, now: int) -> dict[str, object]:
    """What is in force and in shadow, after what was asked is done.

    ConfigError: it is asked wrongly. ModelError: there is no such model, or another is pinned.
    """
    try:
        wanted = msgspec.convert(dict(asked), type=_Asked)
    except msgspec.ValidationError as error:
        message = f"{COMMAND}: {error}"
        raise ConfigError(message) from error
    if (wanted.action in {"promote", "pin"}) != bool(wanted.version):
        message = f'{COMMAND}: promote and pin need a "version", other actions take none'
        raise ConfigError(message)
    if wanted.action != "list" and not wanted.by:
        message = f'{COMMAND}: "by" says who does it, for the history'
        raise ConfigError(message)
    pin = _done(wanted, blobs, Who(wanted.by, now, wanted.why))
    return {name: getattr(pin, name) for name in TOLD}


def _done(wanted: _Asked, blobs: Blobs, who: Who) -> Pin:
    match wanted.action:
        case "promote":
            return promote_model(blobs, wanted.version, who)
        case "pin":
            return pin_model(blobs, wanted.version, who)
        case "unpin":
            return unpin_model(blobs, who)
        case "rollback":
            return roll_back_model(blobs, who)
        case "list":
            return current_pin(blobs)
