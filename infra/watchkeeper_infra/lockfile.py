"""Reads a lock file: which packages a part of the dependencies needs, with their pins and hashes as they stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DIRECT = "watchkeeper (pyproject.toml)"


class Locked(NamedTuple):
    """A package of a lock file: its entry to the letter, and who needs it (`DIRECT`: the project itself)."""

    entry: str
    needed_by: frozenset[str]


def read_lock(text: str) -> Mapping[str, Locked]:
    """The packages of a lock file that `uv pip compile` has written, by name."""
    found: dict[str, Locked] = {}
    for entry in re.split(r"\n(?=\S)", text):
        pin = re.match(r"([A-Za-z0-9._-]+)==", entry)
        if pin is None:
            continue
        _, _, after = entry.partition("# via")
        needed_by = frozenset(line.strip(" #") for line in after.splitlines() if line.strip(" #"))
        before = found.get(pin[1], Locked("", frozenset()))
        lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
        found[pin[1]] = Locked(before.entry + "\n".join(lines) + "\n", before.needed_by | needed_by)
    return found


def subset(lock: Mapping[str, Locked], without: Collection[str]) -> str:
    """The lock file of all that the project needs, without some of its direct dependencies and what only they need."""
    kept = {name for name, locked in lock.items() if DIRECT in locked.needed_by and name not in without}
    while more := {
        name for name, locked in lock.items() if name not in kept and name not in without and locked.needed_by & kept
    }:
        kept |= more
    return "".join(lock[name].entry for name in sorted(kept))
