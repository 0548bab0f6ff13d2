"""How what an earlier version has stored becomes what this one reads: one function for each step, in order.

What is stored is read for ever. Who changes a format bumps its version, writes the function that makes the new content
of the old one, and puts it beside the version: `upgrades={1: upgrade_1_to_2}`. Content is as a decoder without types
gives it: lists, dicts, numbers, text, bytes. The golden files of the tests hold that each version is still read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from watchkeeper.errors import WatchkeeperError

Upgrades = Mapping[int, Callable[[Any], Any]]
"""By the version it starts from, what makes of its content that of the version after it."""


def migrated(
    content: Any,  # noqa: ANN401 - each format's own
    found: int,
    wanted: int,
    upgrades: Upgrades,
    what: str,
    error: type[WatchkeeperError],
) -> Any:  # noqa: ANN401
    """Content of version `found` as it is in version `wanted`.

    `error` is raised for a version that this release does not know, and for content that is not of its version.
    """
    check_version(found, wanted, upgrades, what, error)
    for version in range(found, wanted):
        try:
            content = upgrades[version](content)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as fault:
            message = f"{what} of version {version} is damaged: {type(fault).__name__}: {fault}"
            raise error(message) from fault
    return content


def check_version(found: int, wanted: int, upgrades: Upgrades, what: str, error: type[WatchkeeperError]) -> None:
    """Raises `error` for a version that this release does not read: a newer one, or one it has no upgrade from."""
    oldest = min(upgrades, default=wanted)
    if not oldest <= found <= wanted:
        reads = f"{oldest}" if oldest == wanted else f"{oldest} to {wanted}"
        advice = ": run the newer release that wrote it" if found > wanted else ""
        message = f"{what} of version {found}; this release reads {reads}{advice}"
        raise error(message)
