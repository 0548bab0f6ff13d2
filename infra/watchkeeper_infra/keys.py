"""What a key of a stack's configuration may be, how that is said, and how its text is read."""

from __future__ import annotations

import json
import typing
from typing import Annotated, Any, Literal

import msgspec

NAMESPACE = "watchkeeper"
LISTS = (list, tuple, dict)
LogLevel = Literal["debug", "info", "warning", "error"]


def whole(low: int, high: int) -> msgspec.Meta:
    """For a whole number between two bounds, both allowed."""
    return msgspec.Meta(ge=low, le=high, description=f"a whole number from {low} to {high}")


def text(allowed: str, pattern: str) -> msgspec.Meta:
    """For a text of a form."""
    return msgspec.Meta(pattern=pattern, description=allowed)


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


def read(value: str, hint: Any) -> Any:  # noqa: ANN401 - of each key's own type
    """A key's value from its text. msgspec.ValidationError, json.JSONDecodeError: it is none that the type allows."""
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if (typing.get_origin(inner) or inner) in LISTS:
        return msgspec.convert(json.loads(value), hint, strict=False)
    if typing.get_origin(inner) is Literal and isinstance(typing.get_args(inner)[0], int) and value.isdecimal():
        return msgspec.convert(int(value), hint)
    return msgspec.convert(value, hint, strict=False)


def wrong(key: str, value: object, instead: str) -> str:
    """What is said of a value that is not allowed; None: the value is a secret, or not there."""
    shown = "" if value is None else f"{value!r} "
    return f"{NAMESPACE}:{key}: {shown}is not allowed; {instead}"
