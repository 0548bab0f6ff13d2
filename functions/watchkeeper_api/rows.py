"""Reading tables whose ids sort by time, newest first, a page at a time."""

from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from watchkeeper.ports import Key, Tables
from watchkeeper.topology import TableSpec
from watchkeeper.wire import read_record

Record = TypeVar("Record", bound=msgspec.Struct)
LATEST_MS = 9_999_999_999_999  # ids begin with 13 digits of epoch ms
ROWS_AT_ONCE = 500
MOST_ROWS = 10_000

Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
Moment = Annotated[int | None, Query(ge=0, le=LATEST_MS, description="Epoch milliseconds.")]
From = Annotated[int | None, Query(alias="from", ge=0, le=LATEST_MS, description="Opened then or later; epoch ms.")]
To = Annotated[int | None, Query(ge=0, le=LATEST_MS, description="Opened before then; epoch ms.")]
Before = Annotated[str, Query(max_length=100, description="Only older ones than this id: `next` of the last answer.")]
Only = Annotated[str | None, Query(max_length=200, description="Only those with this value.")]


def newest(
    tables: Tables,
    table: TableSpec,
    partition: str,
    kind: type[Record],
    low: str,
    high: str,
    limit: int,
    wanted: Callable[[Record], bool],
) -> tuple[list[Record], str]:
    """Up to `limit` wanted records with `low` <= id < `high`, newest first, and the id to go on from (empty: the end).

    Looks at MOST_ROWS rows at most, so that a filter that nothing meets has its price limited.
    """
    found: list[Record] = []
    for _ in range(MOST_ROWS // ROWS_AT_ONCE):
        rows = tables.query(table.name, partition, low, high, ROWS_AT_ONCE, descending=True)
        for row in rows:
            record = read_record(row.value, kind)
            if wanted(record):
                found.append(record)
                if len(found) == limit:
                    return found, row.key.sort
        if len(rows) < ROWS_AT_ONCE:
            return found, ""
        high = rows[-1].key.sort
    return found, high


def one(tables: Tables, table: TableSpec, key: Key, kind: type[Record]) -> Record | None:
    """The record of a key, if there is one."""
    return many(tables, table, [key], kind).get(key)


def many(tables: Tables, table: TableSpec, keys: Iterable[Key], kind: type[Record]) -> dict[Key, Record]:
    """The records that are there."""
    rows = tables.get_many(table.name, list(keys))
    return {key: read_record(row.value, kind) for key, row in rows.items()}


def time_range(start: int | None, end: int | None, before: str) -> tuple[str, str]:
    """The ids from `start` up to, and without, `end` and `before`."""
    low = f"{start:013d}" if start else ""
    highs = [high for high in (f"{end:013d}" if end is not None else "", before) if high]
    return low, min(highs, default="")
