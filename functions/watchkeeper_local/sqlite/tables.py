"""Tables: all rows of all of them lie in one, by table, partition and sort key; of some tables with their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from watchkeeper.outcome import ANYWAY, Any_
from watchkeeper.ports import Key, Row
from watchkeeper.topology import LIFETIMES_S
from watchkeeper_local.sqlite.database import Database
from watchkeeper_local.sqlite.versions import Versioned


def _rows_that_end(ends: str) -> Versioned:
    """The SQL of rows whose end, in epoch seconds, is reckoned by `ends` with each write."""
    at = "name = ? AND partition = ? AND sort = ?"
    insert = (
        f"INSERT INTO rows (name, partition, sort, version, value, ends) VALUES (?, ?, ?, ?, ?, {ends}) ON CONFLICT"  # noqa: S608 - of our own words
    )
    return Versioned(
        get=f"SELECT value, version FROM rows WHERE {at}",  # noqa: S608
        version=f"SELECT version FROM rows WHERE {at}",  # noqa: S608
        insert=f"{insert} DO NOTHING",
        write=f"{insert} DO UPDATE SET version = excluded.version, value = excluded.value, ends = excluded.ends",
        replace=f"UPDATE rows SET version = ?, value = ?, ends = {ends} WHERE {at} AND version = ?",  # noqa: S608
    )


_LASTING: Final = _rows_that_end("NULL")
_ENDING: Final = {
    name: _rows_that_end(f"strftime('%s', 'now') + {lifetime:.0f}") for name, lifetime in LIFETIMES_S.items()
}
_RANGE: Final = (
    "SELECT sort, value, version FROM rows WHERE name = ? AND partition = ? AND sort >= ? AND sort < ? "
    "ORDER BY sort LIMIT ?"
)
_RANGE_DESCENDING: Final = _RANGE.replace("ORDER BY sort", "ORDER BY sort DESC")


class SqliteTables:
    """Rows by key. SQLite compares text as UTF-8 bytes, which is the order of code points.

    A row that has ended is there until `SqlitePorts.end_rows`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        with self._database.reading() as connection:
            found = [(key, _LASTING.get_in(connection, (table, *key))) for key in keys]
        return {key: Row(key, *row) for key, row in found if row}

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        with self._database.transaction() as connection:
            return _rows(table).put_in(connection, (table, *key), value, expect)

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        with self._database.transaction() as connection:
            for key, value in rows.items():
                _rows(table).put_in(connection, (table, *key), value, ANYWAY)

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        select = _RANGE_DESCENDING if descending else _RANGE
        span = (table, partition, low, high or b"", limit)  # to SQLite every text is less than any bytes
        with self._database.reading() as connection:
            rows = connection.execute(select, span).fetchall()
        return [Row(Key(partition, sort), value, version) for sort, value, version in rows]


def _rows(table: str) -> Versioned:
    return _ENDING.get(table, _LASTING)
