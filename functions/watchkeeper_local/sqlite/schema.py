"""What is in the file: its tables, its version, and the settings that may never change silently."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from watchkeeper.errors import ConfigError, WatchkeeperError
from watchkeeper.topology import LIFETIMES_S, TOPICS
from watchkeeper_local.sqlite.database import PATIENCE_S, Database, explain, primary_code

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x57_4B_50_52  # "WKPR": what `file` and others tell the file by
MAX_PARTITIONS: Final = 4096

# A message's id is its topic, partition and offset in one number (see `stream.log_base`): rows lie in reading order,
# found by the cheapest key there is. Large values come last, so that reading what is before them touches one page.
_TABLES: Final = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE topics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE messages (id INTEGER PRIMARY KEY, shard INTEGER NOT NULL, headers TEXT, value BLOB NOT NULL);
CREATE TABLE commits (reader TEXT, log INTEGER, position INTEGER NOT NULL, PRIMARY KEY (reader, log)) WITHOUT ROWID;
CREATE TABLE rows (
    name TEXT, partition TEXT, sort TEXT, version TEXT NOT NULL, value BLOB NOT NULL, ends INTEGER,
    PRIMARY KEY (name, partition, sort)
) WITHOUT ROWID;
CREATE TABLE blobs (key TEXT PRIMARY KEY, version TEXT NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE meter (
    day TEXT, stage TEXT, name TEXT, amount REAL NOT NULL, PRIMARY KEY (day, stage, name)
) WITHOUT ROWID;
"""

_ROWS_BY_END: Final = "CREATE INDEX rows_by_end ON rows (ends) WHERE ends IS NOT NULL"


def prepare(database: Database, *, partitions: int, shards: int) -> Mapping[str, int]:
    """Create what is not there, check what is; answers the topics' numbers. ConfigError: the file is not usable."""
    path = database.path
    if not 1 <= partitions <= MAX_PARTITIONS:
        message = f"{partitions} partitions: must be between 1 and {MAX_PARTITIONS}"
        raise ConfigError(message)
    if shards < 1:
        message = f"{shards} shards: must be at least 1"
        raise ConfigError(message)
    try:
        with contextlib.closing(database.connect()) as connection:
            _refuse_foreign(path, connection)
            _use_wal(path, connection)
            connection.execute("BEGIN IMMEDIATE")
            if _is_empty(connection):
                _create(connection)
            elif _number(connection, "user_version") == 1:
                _let_rows_end(connection)
            _settle(path, connection, {"partitions": partitions, "shards": shards})
            missing = [(name,) for name in TOPICS]
            connection.executemany("INSERT INTO topics (name) VALUES (?) ON CONFLICT DO NOTHING", missing)
            topics = dict(connection.execute("SELECT name, number FROM topics"))
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    return topics


def _refuse_foreign(path: Path, connection: sqlite3.Connection) -> None:
    """ConfigError: another program's database, or one of a version that this release does not read."""
    if _is_empty(connection):
        return
    if _number(connection, "application_id") != APPLICATION_ID:
        message = f"{path}: a database of another program: use another data folder"
        raise ConfigError(message)
    found = _number(connection, "user_version")
    if not 1 <= found <= SCHEMA_VERSION:
        message = (
            f"{path}: has schema {found}, and this release reads 1 to {SCHEMA_VERSION}: run the release that wrote it"
        )
        raise ConfigError(message)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _number(connection, "schema_version") == 0


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _use_wal(path: Path, connection: sqlite3.Connection) -> None:
    """The journal mode is kept in the file. While one process changes it, SQLite lets no other wait for that."""
    deadline = time.monotonic() + PATIENCE_S
    mode = ""
    while not mode:
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        message = f"{path}: this file system cannot hold a write-ahead log: put the data folder on a local disk"
        raise ConfigError(message)


def _create(connection: sqlite3.Connection) -> None:
    for statement in (*_TABLES.split(";"), _ROWS_BY_END):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _let_rows_end(connection: sqlite3.Connection) -> None:
    """From schema 1 to 2: rows get an end, reckoned from now."""
    connection.execute("ALTER TABLE rows ADD COLUMN ends INTEGER")
    connection.execute(_ROWS_BY_END)
    ends = [(time.time() + lifetime, name) for name, lifetime in LIFETIMES_S.items()]
    connection.executemany("UPDATE rows SET ends = CAST(? AS INTEGER) WHERE name = ?", ends)
    connection.execute("PRAGMA user_version=2")


def _settle(path: Path, connection: sqlite3.Connection, asked: Mapping[str, int]) -> None:
    """Settings are those of the first use. ConfigError: others are asked for now."""
    connection.executemany("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", asked.items())
    for name, value in connection.execute("SELECT name, value FROM settings"):
        if value != asked.get(name, value):
            message = (
                f"{path}: made with {value} {name}, and {asked[name]} are asked for now; what is stored is divided by "
                f"that number: set {name} to {value}, or begin with an empty data folder"
            )
            raise ConfigError(message)


def _refusal(path: Path, error: sqlite3.Error) -> WatchkeeperError:
    """What an error means while opening: mostly that the file is not what it should be."""
    if primary_code(error) == sqlite3.SQLITE_CANTOPEN:
        return ConfigError(f"{path}: {error}: is it a file, and may this user write to it and its folder?")
    ours = explain(path, error)
    if ours is None or primary_code(error) in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return ConfigError(
            f"{path}: {error}: no Watchkeeper database, or damaged: restore a copy, or use another folder"
        )
    return ours
