"""Units of measurement: how a value that was sent in one becomes a value in another.

Pint knows the units. Importing it takes longer than all the rest, so that is done only where a conversion is asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.problems import did_you_mean, quote

if TYPE_CHECKING:
    import pint

_POWER = re.compile(r"(?<=[A-Za-z])([23])(?![A-Za-z0-9])")  # m3 and ft2, as they are written in plants
_FAR = 1e6  # the scale is measured between 0 and this, so that rounding plays no part
_STRAIGHT = 1e-9


class Conversion(msgspec.Struct, frozen=True):
    """A value of the unit that is sent times `scale`, plus `offset`, is one of the unit that is kept."""

    scale: float
    offset: float = 0.0


@lru_cache(4096)
def conversion(sent: str, kept: str) -> Conversion:
    """How to convert from one unit to another. KnowledgeError: a unit is unknown, or they do not measure the same."""
    registry = _registry()
    units = [_unit(name) for name in (sent, kept)]
    if not units[0].is_compatible_with(units[1]):
        kinds = " and ".join(
            f"{quote(name)} ({unit.dimensionality})" for name, unit in zip((sent, kept), units, strict=True)
        )
        raise KnowledgeError(f"units that do not measure the same: {kinds}")
    try:
        at_zero, at_one, far = (float(registry.Quantity(x, units[0]).to(units[1]).magnitude) for x in (0.0, 1.0, _FAR))
    except (ValueError, ArithmeticError) as error:
        raise KnowledgeError(f"{quote(sent)} cannot be converted to {quote(kept)}: {error}") from error
    scale = (far - at_zero) / _FAR
    if not abs(at_one - at_zero - scale) <= _STRAIGHT * max(abs(scale), abs(at_zero), 1.0):
        raise KnowledgeError(f"{quote(sent)} is no multiple of {quote(kept)}, with or without an offset")
    return Conversion(scale, at_zero)


def _unit(name: str) -> pint.Unit:
    registry = _registry()
    plain = _POWER.sub(r"**\1", name)
    try:
        return registry.parse_units(plain)
    except Exception as error:  # whatever text breaks the parser is no unit
        hint = did_you_mean(name, _COMMON) or did_you_mean(name, registry)
        raise KnowledgeError(f"unknown unit {quote(name)}{hint}") from error


_COMMON = ("degC", "degF", "m3/h", "l/s", "gal/min", "gpm", "cfm", "bar", "kPa", "psi", "mm/s", "rpm", "kW", "MB/s")


@lru_cache(1)
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry()
    registry.define("gpm = gallon / minute")
    registry.define("cfm = foot ** 3 / minute")
    return registry
