"""What differs between two bundles, in lines that a person reads: files, and rules by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watchkeeper.knowledge.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.knowledge.rules import Rule


def differences(before: Bundle, after: Bundle) -> list[str]:
    """One line each: `+` came, `-` went, `~` changed. Empty: they are the same."""
    lines = [f"{mark} file {name}" for mark, name in _compared(before.files, after.files)]
    old, new = ({rule.id: rule for rule in bundle.rules.rules} for bundle in (before, after))
    for mark, name in _compared(old, new):
        how = f": {', '.join(_changes(old[name], new[name]))}" if mark == "~" else ""
        lines.append(f"{mark} rule {name}{how}")
    return lines


def _compared(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield "+", name
        elif name not in after:
            yield "-", name
        elif before[name] != after[name]:
            yield "~", name


def _changes(before: Rule, after: Rule) -> Iterator[str]:
    for field in msgspec.structs.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old != new:
            yield f"{field.name.removesuffix('_ms')} {_shown(field.name, old)} -> {_shown(field.name, new)}"


def _shown(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return format_duration(value)
    return f"{value:g}" if isinstance(value, float) else repr(str(value)) if name == "summary" else str(value)
