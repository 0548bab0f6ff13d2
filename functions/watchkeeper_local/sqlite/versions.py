"""Rows that are written by compare-and-swap: what tables and blobs have in common."""

from __future__ import annotations

import dataclasses
import secrets
import sqlite3

from watchkeeper.errors import Conflict
from watchkeeper.outcome import ABSENT, ANYWAY, Any_

Found = tuple[bytes, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Versioned:
    """The SQL of one table with a key of some columns (K), a value and a version.

    A version is random and never comes again, so that what was deleted and made anew is not taken for what it was.
    """

    get: str  # K → value, version
    version: str  # K → version
    insert: str  # K, version, value; nothing if K is there
    write: str  # K, version, value
    replace: str  # version, value, K, version; nothing if that is not its version

    def get_in(self, connection: sqlite3.Connection, key: tuple[str, ...]) -> Found | None:
        """Value and version, if the row is there."""
        row: Found | None = connection.execute(self.get, key).fetchone()
        return row

    def version_in(self, connection: sqlite3.Connection, key: tuple[str, ...]) -> str | None:
        """The version, or ABSENT."""
        row = connection.execute(self.version, key).fetchone()
        return row[0] if row else ABSENT

    def put_in(
        self, connection: sqlite3.Connection, key: tuple[str, ...], value: bytes, expect: str | Any_ | None
    ) -> str:
        """Write and answer the new version. Conflict: `expect` does not hold, and nothing is changed."""
        version = secrets.token_hex(8)
        if expect is ANYWAY:
            connection.execute(self.write, (*key, version, value))
            return version
        if expect is ABSENT:
            cursor = connection.execute(self.insert, (*key, version, value))
        else:
            cursor = connection.execute(self.replace, (version, value, *key, expect))
        if cursor.rowcount != 1:
            held = self.version_in(connection, key)
            message = f"{'/'.join(key)}: expected version {expect or 'none'}, found {held or 'none'}"
            raise Conflict(message)
        return version
