"""Tables in Cosmos DB: a container for each, divided by `pk`; a row is an item with its two keys and its bytes.

A row's version is the item's ETag, which every write changes. A conditional write that was done and whose answer was
lost is tried again and refused; it is known by the random `write` that it has put into the item.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT, ANYWAY, Any_
from watchkeeper.ports import Key, Row
from watchkeeper.topology import LIFETIMES_S
from watchkeeper_azure.failures import waiting_for
from watchkeeper_azure.names import PARTITION, SORT

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy

    from watchkeeper_azure.cosmos import CosmosDatabase

T = TypeVar("T")
S = TypeVar("S")

THREADS = 10  # as many connections as the library keeps
IN_A_BATCH = 100  # operations that one transaction takes
BATCH_BYTES = 1_500_000  # and 2 MB, of which each operation takes some
PAGE = 1000  # items that are asked for at once
LONGEST_ID = 255
REFUSALS = frozenset({404, 409, 412})
NO_CONTAINER = 1003  # sub-status: what was not found is no item


class CosmosTables:
    """Rows by key, read as consistently as the account is.

    `prefix` goes before a table's name. Rows end so long after they were last written as the topology says, or
    `lifetimes_s` of other tables.
    """

    def __init__(
        self, database: CosmosDatabase, prefix: str = "", lifetimes_s: Mapping[str, float] | None = None
    ) -> None:
        self._database, self._prefix = database, prefix
        self._lifetimes = {**LIFETIMES_S, **(lifetimes_s or {})}
        self._threads: ThreadPoolExecutor | None = None

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """A read of one item costs less than any query that would find several."""
        wanted = list(dict.fromkeys(keys))
        rows = zip(wanted, self._each(lambda key: self._get(table, key), wanted), strict=True)
        return {key: row for key, row in rows if row is not None}

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        item = self._item(table, key, value)

        def write(container: ContainerProxy) -> Mapping[str, Any]:
            if expect is ANYWAY:
                return container.upsert_item(item)
            if expect is ABSENT:
                return container.create_item(item)
            condition: dict[str, Any] = {"etag": expect, "match_condition": MatchConditions.IfNotModified}
            return container.replace_item(item["id"], item, **condition)

        with self._asking(table):
            try:
                return str(self._database.ask(self._prefix + table, write)["_etag"])
            except HttpResponseError as error:
                if expect is ANYWAY or error.status_code not in REFUSALS or _no_container(error):
                    raise
                held = self._read(table, key)
                if held is None or held["write"] != item["write"]:
                    found = held["_etag"] if held else "none"
                    message = f"{table} {'/'.join(key)}: expected version {expect or 'none'}, found {found}"
                    raise Conflict(message) from error
                return str(held["_etag"])

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        """In transactions of rows of one partition, several at a time."""
        self._each(lambda batch: self._put_batch(table, *batch), list(self._batches(table, rows)))

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        if high and low >= high:
            return []
        text, values = range_query(low, high, descending=descending)

        def read(container: ContainerProxy) -> list[dict[str, Any]]:
            page = min(limit, PAGE)
            found = container.query_items(text, parameters=values, partition_key=partition, max_item_count=page)
            return list(islice(found, limit))

        with self._asking(table):
            return [_row(item) for item in self._database.ask(self._prefix + table, read)]

    def delete(self, table: str, key: Key) -> None:
        """Remove a row; one that is not there is no error. No stage does: only what the runtime keeps for itself."""

        def remove(container: ContainerProxy) -> None:
            container.delete_item(item_id(key.sort), key.partition)

        with self._asking(table):
            try:
                self._database.ask(self._prefix + table, remove)
            except CosmosResourceNotFoundError as error:
                if _no_container(error):
                    raise

    def _get(self, table: str, key: Key) -> Row | None:
        with self._asking(table):
            item = self._read(table, key)
        return None if item is None else _row(item)

    def _read(self, table: str, key: Key) -> Mapping[str, Any] | None:
        def read(container: ContainerProxy) -> Mapping[str, Any]:
            return container.read_item(item_id(key.sort), key.partition)

        try:
            return self._database.ask(self._prefix + table, read)
        except CosmosResourceNotFoundError as error:
            if _no_container(error):
                raise
            return None

    def _item(self, table: str, key: Key, value: bytes) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": item_id(key.sort),
            PARTITION: key.partition,
            SORT: key.sort,
            "write": secrets.token_urlsafe(9),
            **_held(value),
        }
        if table in self._lifetimes:
            item["ttl"] = max(1, round(self._lifetimes[table]))
        return item

    def _batches(self, table: str, rows: Mapping[Key, bytes]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Items of one partition each, and no more than a transaction takes."""
        waiting: dict[str, tuple[list[dict[str, Any]], int]] = {}
        for key, value in rows.items():
            item = self._item(table, key, value)
            length = len(msgspec.json.encode(item))
            items, size = waiting.get(key.partition, ([], 0))
            if items and (len(items) == IN_A_BATCH or size + length > BATCH_BYTES):
                yield key.partition, items
                items, size = [], 0
            items.append(item)
            waiting[key.partition] = items, size + length
        yield from ((partition, items) for partition, (items, _) in waiting.items())

    def _put_batch(self, table: str, partition: str, items: list[dict[str, Any]]) -> None:
        def write(container: ContainerProxy) -> None:
            if len(items) == 1:
                container.upsert_item(items[0])
            else:
                container.execute_item_batch([("upsert", (item,)) for item in items], partition)

        with self._asking(table):
            self._database.ask(self._prefix + table, write)

    def _each(self, act: Callable[[T], S], things: Sequence[T]) -> Sequence[S]:
        if len(things) < 2:
            return [act(thing) for thing in things]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "cosmos")
        return list(self._threads.map(act, things))

    @staticmethod
    def _asking(table: str) -> Any:  # noqa: ANN401 - a context
        return waiting_for(f"Cosmos DB {table}")


def item_id(sort: str) -> str:
    """The id of an item with this sort key: ids take no slash, backslash, ? or #, and are best in plain ASCII.

    Bytes of all but plain signs are written as =XX; what would be too long is its SHA-256.
    """
    text = quote(sort, safe=":,@+|").replace("%", "=") or "="
    return text if len(text) <= LONGEST_ID else "=" + hashlib.sha256(sort.encode()).hexdigest()


def _held(value: bytes) -> dict[str, str]:
    """Text where it is some, as records are: who looks at the table can read it, and it is a quarter shorter."""
    if b"\0" not in value:
        with contextlib.suppress(UnicodeDecodeError):
            return {"text": value.decode()}
    return {"base64": base64.b64encode(value).decode()}


def _row(item: Mapping[str, Any]) -> Row:
    value = item["text"].encode() if "text" in item else base64.b64decode(item["base64"])
    return Row(Key(item[PARTITION], item[SORT]), value, item["_etag"])


def range_query(low: str, high: str, *, descending: bool = False) -> tuple[str, list[dict[str, object]]]:
    """A query of a partition's items with `low` <= sort < `high` (empty: unbounded), and its parameters."""
    bounds = [(">=", "@low", low), ("<", "@high", high)]
    conditions = " AND ".join(f"c.{SORT} {sign} {name}" for sign, name, text in bounds if text)
    where = f" WHERE {conditions}" if conditions else ""
    query = f"SELECT * FROM c{where} ORDER BY c.{SORT} {'DESC' if descending else 'ASC'}"  # noqa: S608 - all ours
    return query, [{"name": name, "value": text} for _, name, text in bounds if text]


def _no_container(error: HttpResponseError) -> bool:
    return getattr(error, "sub_status", None) == NO_CONTAINER
