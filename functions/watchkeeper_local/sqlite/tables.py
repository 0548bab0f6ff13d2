"""Tables: all rows of all of them lie in one, by table, partition and sort key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from watchkeeper.outcome import ANYWAY, Any_
from watchkeeper.ports import Key, Row
from watchkeeper_local.sqlite.database import Database
from watchkeeper_local.sqlite.versions import Versioned

_ROWS: Final = Versioned(
    get="SELECT value, version FROM rows WHERE name = ? AND partition = ? AND sort = ?",
    version="SELECT version FROM rows WHERE name = ? AND partition = ? AND sort = ?",
    insert="INSERT INTO rows (name, partition, sort, version, value) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    write="INSERT INTO rows (name, partition, sort, version, value) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET version = excluded.version, value = excluded.value",
    replace="UPDATE rows SET version = ?, value = ? WHERE name = ? AND partition = ? AND sort = ? AND version = ?",
)
_RANGE: Final = (
    "SELECT sort, value, version FROM rows WHERE name = ? AND partition = ? AND sort >= ? AND sort < ? "
    "ORDER BY sort LIMIT ?"
)
_RANGE_DESCENDING: Final = _RANGE.replace("ORDER BY sort", "ORDER BY sort DESC")


class SqliteTables:
    """Rows by key. SQLite compares text as UTF-8 bytes, which is the order of code points."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_many(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        with self._database.reading() as connection:
            found = [(key, _ROWS.get_in(connection, (table, *key))) for key in keys]
        return {key: Row(key, *row) for key, row in found if row}

    def put(self, table: str, key: Key, value: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        with self._database.transaction() as connection:
            return _ROWS.put_in(connection, (table, *key), value, expect)

    def put_many(self, table: str, rows: Mapping[Key, bytes]) -> None:
        with self._database.transaction() as connection:
            for key, value in rows.items():
                _ROWS.put_in(connection, (table, *key), value, ANYWAY)

    def query(
        self, table: str, partition: str, low: str = "", high: str = "", limit: int = 1000, *, descending: bool = False
    ) -> list[Row]:
        select = _RANGE_DESCENDING if descending else _RANGE
        span = (table, partition, low, high or b"", limit)  # to SQLite every text is less than any bytes
        with self._database.reading() as connection:
            rows = connection.execute(select, span).fetchall()
        return [Row(Key(partition, sort), value, version) for sort, value, version in rows]
