"""The functions of expressions: what they take and give, and how they are computed over columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from watchkeeper.expressions.values import Kind, Truth, Words
from watchkeeper.packs import Floats


class Function(NamedTuple):
    """`takes` the kinds of its arguments, of which the last may come `more` times; no kind there: number or text."""

    gives: Kind
    takes: tuple[Kind | None, ...]
    run: Callable[..., Any]
    more: bool = False


def finite(values: Floats) -> Floats:
    """The same; what is infinite is missing, as the quotient of a division by zero is."""
    return np.where(np.isfinite(values), values, np.nan)


def _least(*values: Floats) -> Floats:
    return _folded(np.minimum, values)


def _greatest(*values: Floats) -> Floats:
    return _folded(np.maximum, values)


def _folded(of_two: Callable[[Floats, Floats], Floats], values: tuple[Floats, ...]) -> Floats:
    result = values[0]
    for value in values[1:]:
        result = of_two(result, value)
    return result


def _clip(value: Floats, low: Floats, high: Floats) -> Floats:
    return np.minimum(np.maximum(value, low), high)


def _if(condition: Truth, then: Floats, otherwise: Floats) -> Floats:
    return np.where(condition.yes, then, np.where(condition.no, otherwise, np.nan))


def _default(value: Floats, instead: Floats) -> Floats:
    return np.where(np.isnan(value), instead, value)


def _missing(value: Floats | Words) -> Truth:
    gone = ~value.present() if isinstance(value, Words) else np.isnan(value)
    return Truth(gone, ~gone)


def _number(text: Words) -> Floats:
    return np.array([*map(_as_number, text.words), np.nan])[text.codes]


def _as_number(word: str | None) -> float:
    """A decimal number; anything else, also `nan`, is none."""
    try:
        value = float(word or "")
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


_ONE: tuple[Kind, ...] = ("number",)

FUNCTIONS: dict[str, Function] = {
    "abs": Function("number", _ONE, np.abs),
    "ceil": Function("number", _ONE, np.ceil),
    "clip": Function("number", ("number", "number", "number"), _clip),
    "default": Function("number", ("number", "number"), _default),
    "exp": Function("number", _ONE, np.exp),
    "floor": Function("number", _ONE, np.floor),
    "if": Function("number", ("boolean", "number", "number"), _if),
    "log": Function("number", _ONE, np.log),
    "log10": Function("number", _ONE, np.log10),
    "max": Function("number", ("number", "number"), _greatest, more=True),
    "min": Function("number", ("number", "number"), _least, more=True),
    "missing": Function("boolean", (None,), _missing),
    "number": Function("number", ("text",), _number),
    "round": Function("number", _ONE, np.round),
    "sqrt": Function("number", _ONE, np.sqrt),
}
