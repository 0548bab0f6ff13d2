"""Patches of items, operation by operation, as Cosmos DB documents them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tests.emulators.cosmos.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 10
KEPT = {"id", "_rid", "_ts", "_etag", "_self"}


def patched(item: Mapping[str, Any], operations: Sequence[Mapping[str, Any]], partition_key: str) -> dict[str, Any]:
    """The item after all of them. Refusal: one of them cannot be done, so none is."""
    if not 1 <= len(operations) <= MOST:
        raise Refusal(400, f"The number of patch operations is {len(operations)}: between 1 and {MOST} are taken")
    changed = copy.deepcopy(dict(item))
    for operation in operations:
        _apply(changed, operation, partition_key)
    return changed


def _apply(item: dict[str, Any], operation: Mapping[str, Any], partition_key: str) -> None:
    path = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")]
    if path[0] or len(path) < 2 or path[1] in KEPT | {partition_key}:
        raise Refusal(400, f"The path {operation['path']} cannot be patched")
    holder: Any = item
    for part in path[1:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if not isinstance(holder, dict):
        raise Refusal(400, f"The path {operation['path']} leads to nothing")
    name, kind = path[-1], operation["op"]
    if kind in {"replace", "remove"} and name not in holder:
        raise Refusal(400, f"There is nothing at {operation['path']}")
    if kind == "remove":
        del holder[name]
    elif kind in {"add", "set", "replace"}:
        holder[name] = operation["value"]
    elif kind == "incr":
        there, more = holder.get(name, 0), operation["value"]
        if not _is_number(there) or not _is_number(more):
            raise Refusal(400, f"Only numbers can be added up at {operation['path']}")
        holder[name] = there + more
    else:
        raise Refusal(400, f"Unknown patch operation {kind!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
