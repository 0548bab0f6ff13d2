"""Blobs: an object is a row."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from watchkeeper.outcome import ANYWAY, Any_
from watchkeeper.ports import Blob
from watchkeeper_local.sqlite.database import Database
from watchkeeper_local.sqlite.versions import Versioned

_BLOBS: Final = Versioned(
    get="SELECT data, version FROM blobs WHERE key = ?",
    version="SELECT version FROM blobs WHERE key = ?",
    insert="INSERT INTO blobs (key, version, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    write="INSERT INTO blobs (key, version, data) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET version = excluded.version, data = excluded.data",
    replace="UPDATE blobs SET version = ?, data = ? WHERE key = ? AND version = ?",
)


class SqliteBlobs:
    """Objects by key, at most 1 GB each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_many(self, keys: Sequence[str]) -> dict[str, Blob]:
        with self._database.reading() as connection:
            found = [(key, _BLOBS.get_in(connection, (key,))) for key in keys]
        return {key: Blob(*row) for key, row in found if row}

    def versions(self, keys: Sequence[str]) -> dict[str, str]:
        with self._database.reading() as connection:
            found = [(key, _BLOBS.version_in(connection, (key,))) for key in keys]
        return {key: version for key, version in found if version is not None}

    def put(self, key: str, data: bytes, expect: str | Any_ | None = ANYWAY) -> str:
        with self._database.transaction() as connection:
            return _BLOBS.put_in(connection, (key,), data, expect)

    def delete(self, keys: Sequence[str]) -> None:
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM blobs WHERE key = ?", [(key,) for key in keys])

    def list(self, prefix: str) -> list[str]:
        select = "SELECT key FROM blobs WHERE key >= ? ORDER BY key"
        with self._database.reading() as connection, contextlib.closing(connection.execute(select, (prefix,))) as rows:
            return list(takewhile(lambda key: key.startswith(prefix), (key for (key,) in rows)))
