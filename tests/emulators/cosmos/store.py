"""Containers and items as the service keeps them: divided by partition key, versioned, some with an end."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.emulators.cosmos import charges
from tests.emulators.cosmos.patching import patched
from tests.emulators.cosmos.refusal import Refusal
from tests.emulators.cosmos.sql import Query, parse_predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LARGEST = 2 * 1024 * 1024  # bytes of an item
LONGEST_ID = 1023  # bytes
IN_A_BATCH = 100  # operations
_numbers = itertools.count(1)


class Done(NamedTuple):
    """What an operation came to: a status, the item, and what it costs."""

    status: int
    item: Mapping[str, Any] | None
    charge: float


class Container:
    """One container. `clock` is in epoch seconds."""

    def __init__(self, properties: Mapping[str, Any], clock: Callable[[], float]) -> None:
        paths = properties.get("partitionKey", {}).get("paths", [])
        if len(paths) != 1 or paths[0].count("/") != 1:
            raise Refusal(400, "the stand-in takes one partition key, a property of the item itself")
        self.key = paths[0].removeprefix("/")
        self.properties = dict(properties)
        self._ends: int | None = properties.get("defaultTtl")
        self._clock = clock
        self._partitions: dict[str, dict[str, dict[str, Any]]] = {}

    def create(self, partition: str, item: Mapping[str, Any]) -> Done:
        self._check(partition, item)
        if self._find(partition, item["id"]):
            raise Refusal(409, "Entity with the specified id already exists in the system.")
        return self._write(201, partition, item)

    def upsert(self, partition: str, item: Mapping[str, Any], if_match: str = "") -> Done:
        self._check(partition, item)
        there = self._find(partition, item["id"])
        if there:
            _match(there, if_match)
        return self._write(200 if there else 201, partition, item)

    def replace(self, partition: str, name: str, item: Mapping[str, Any], if_match: str = "") -> Done:
        self._check(partition, item)
        if item["id"] != name:
            raise Refusal(400, "The id of an item cannot be changed")
        _match(self._there(partition, name), if_match)
        return self._write(200, partition, item)

    def patch(self, partition: str, name: str, body: Mapping[str, Any], if_match: str = "") -> Done:
        there = self._there(partition, name)
        _match(there, if_match)
        if (condition := body.get("condition")) and not parse_predicate(condition).run([there]):
            raise Refusal(412, "The condition of the patch does not hold", 1110)
        changed = patched(there, body["operations"], self.key)
        self._check(partition, changed)
        return self._write(200, partition, changed)

    def read(self, partition: str, name: str, if_none_match: str = "") -> Done:
        there = self._there(partition, name)
        if if_none_match and if_none_match == there["_etag"]:
            raise Refusal(304, "Not changed")
        return Done(200, there, charges.of_read(size_of(there)))

    def delete(self, partition: str, name: str, if_match: str = "") -> Done:
        there = self._there(partition, name)
        _match(there, if_match)
        del self._partitions[partition][name]
        return Done(204, None, charges.of_write(size_of(there)))

    def query(self, partition: str, query: Query) -> list[Mapping[str, Any]]:
        """All that is found in a partition, in order."""
        if query.order and not self._is_indexed(query.order):
            raise Refusal(400, f"The order-by item c.{query.order} is excluded from the index")
        items = [self._find(partition, name) for name in list(self._partitions.get(partition, {}))]
        return query.run([item for item in items if item])

    def batch(self, partition: str, operations: Sequence[Mapping[str, Any]]) -> tuple[bool, list[Done | Refusal]]:
        """All of it, or nothing; what was not done because of another is refused with 424."""
        if not 1 <= len(operations) <= IN_A_BATCH:
            raise Refusal(400, f"Batch request has more operations than what is supported: {len(operations)}")
        before = dict(self._partitions.get(partition, {}))
        done: list[Done | Refusal] = []
        for operation in operations:
            try:
                done.append(self._operate(partition, operation))
            except Refusal as refusal:
                self._partitions[partition] = before
                others = [Refusal(424, "Another operation has failed") for _ in operations]
                return False, [*others[: len(done)], refusal, *others[len(done) + 1 :]]
        return True, done

    def _operate(self, partition: str, operation: Mapping[str, Any]) -> Done:
        kind, name, body = operation["operationType"], operation.get("id", ""), operation.get("resourceBody")
        match = operation.get("ifMatch", "")
        if kind == "Create":
            return self.create(partition, body)
        if kind == "Upsert":
            return self.upsert(partition, body, match)
        if kind == "Replace":
            return self.replace(partition, name, body, match)
        if kind == "Patch":
            return self.patch(partition, name, body, match)
        if kind == "Read":
            return self.read(partition, name)
        if kind == "Delete":
            return self.delete(partition, name, match)
        raise Refusal(400, f"Unknown operation {kind!r} in a batch")

    def _check(self, partition: str, item: Mapping[str, Any]) -> None:
        name, end = item.get("id"), item.get("ttl")
        if not isinstance(name, str) or not name or len(name.encode()) > LONGEST_ID or name != name.rstrip():
            raise Refusal(400, "The input name is invalid. Ensure to provide a unique non-empty string as id.")
        if set(name) & set("/\\?#"):
            raise Refusal(400, f"The input name {name!r} contains invalid characters: '/', '\\\\', '?' or '#'.")
        if item.get(self.key) != partition:
            message = "PartitionKey extracted from document doesn't match the one specified in the header"
            raise Refusal(400, message, 1001)
        if end is not None and (not isinstance(end, int) or isinstance(end, bool) or (end < 1 and end != -1)):
            raise Refusal(400, f"The input ttl {end!r} is invalid. Ensure to provide a nonzero positive integer or -1.")
        if size_of(item) > LARGEST:
            raise Refusal(413, "Request size is too large")

    def _write(self, status: int, partition: str, item: Mapping[str, Any]) -> Done:
        number = next(_numbers)
        written = dict(item) | {
            "_rid": f"rid{number}",
            "_self": f"dbs/x/colls/y/docs/rid{number}/",
            "_etag": f'"0000{number:04x}-0000-0000-0000-{number:012x}"',
            "_attachments": "attachments/",
            "_ts": int(self._clock()),
        }
        self._partitions.setdefault(partition, {})[item["id"]] = written
        return Done(status, written, charges.of_write(size_of(written)))

    def _there(self, partition: str, name: str) -> dict[str, Any]:
        if found := self._find(partition, name):
            return found
        raise Refusal(404, "Entity with the specified id does not exist in the system.")

    def _find(self, partition: str, name: str) -> dict[str, Any] | None:
        """What is there; an end counts only in a container that has ends switched on."""
        item = self._partitions.get(partition, {}).get(name)
        if item is None or self._ends is None:
            return item
        end = item.get("ttl", self._ends)
        if end == -1 or item["_ts"] + end > self._clock():
            return item
        del self._partitions[partition][name]
        return None

    def _is_indexed(self, name: str) -> bool:
        policy = self.properties.get("indexingPolicy") or {}
        excluded = {each["path"] for each in policy.get("excludedPaths", [])}
        included = {each["path"] for each in policy.get("includedPaths", [])}
        return f"/{name}/?" in included or ("/*" not in excluded and f"/{name}/?" not in excluded)


def size_of(item: Mapping[str, Any]) -> int:
    """Bytes of an item as JSON."""
    return len(json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def _match(there: Mapping[str, Any], if_match: str) -> None:
    if if_match and if_match not in {"*", there["_etag"]}:
        raise Refusal(412, "Operation cannot be performed because one of the specified precondition is not met.")
