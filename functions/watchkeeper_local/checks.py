"""What `watchkeeper doctor` looks at on this machine and in the data folder, one check at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from watchkeeper.errors import KnowledgeError, WatchkeeperError
from watchkeeper_local.columns import moment
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.node import CONSUMERS
from watchkeeper_local.sqlite.ports import FILE_NAME
from watchkeeper_local.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from watchkeeper_local.sqlite.stream import log_base, log_committed, log_head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper_local.settings import Settings

OLDEST_PYTHON = (3, 11)
LEAST_FREE = 1_000_000_000  # bytes: the log, a merge of segments and a day of readings of a small fleet
EARLIEST_MS = 1_767_225_600_000  # 2026-01-01: this program is younger
CLOCK_SLACK_MS = 5 * 60_000
WATCH_S = 3.0  # a partition that waits, and does not move for so long, is blocked: a batch takes milliseconds

RESTORE = "stop Watchkeeper, and restore a copy or choose another --data-dir"


class Finding(NamedTuple):
    """What a check has found; `advice` is what to do where it is wrong, and empty where it is well."""

    what: str
    said: str
    advice: str = ""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Is this Python new enough?"""
    shown = ".".join(map(str, version[:3]))
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Finding("Python", shown, "" if version >= OLDEST_PYTHON else f"install Python {needed} or newer")


def check_clock(now: int, folder: Path) -> Finding:
    """Can it be as late as the clock says? Not before this program was made, nor before the data was written."""
    if now < EARLIEST_MS:
        return Finding("clock", f"{moment(now)} UTC is in the past", "set the clock, best by NTP")
    with contextlib.suppress(OSError):
        written = int((folder / FILE_NAME).stat().st_mtime * 1000)
        if written > now + CLOCK_SLACK_MS:
            said = f"{moment(now)} UTC, and the data was last written at {moment(written)}"
            return Finding("clock", said, "the clock was set back, or was ahead before: set it, best by NTP")
    return Finding("clock", f"{moment(now)} UTC")


def check_folder(folder: Path) -> Finding:
    """Can the data folder be written to, or be made? Nothing is made or changed."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return Finding("data folder", f"{nearest} is a file", "choose another --data-dir")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding("data folder", f"{nearest} is not writable", "give this user the folder, or choose --data-dir")
    if nearest != folder:
        return Finding("data folder", f"{folder} is not there yet; `watchkeeper up` makes it")
    for file in (folder / FILE_NAME, folder / f"{FILE_NAME}-wal"):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            return Finding("data folder", f"{file} is not writable", "give it to the user that runs Watchkeeper")
    return Finding("data folder", f"{folder} is writable")


def check_disk(folder: Path) -> Finding:
    """Is there room for what will come?"""
    nearest = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(nearest).free
    said = f"{free / 1e9:.1f} GB free"
    return Finding("disk", said, "" if free >= LEAST_FREE else f"make room: at least {LEAST_FREE / 1e9:.0f} GB")


def check_database(folder: Path, settings: Settings) -> Finding:
    """Is the database ours, sound, and made with the numbers that are set?"""
    path = folder / FILE_NAME
    if not path.exists():
        return Finding("database", "none yet")
    try:
        with opened(path) as connection:
            said, advice = _database_fault(connection, settings)
    except sqlite3.Error as error:
        said, advice = str(error), RESTORE
    return Finding("database", f"{path}: {said or f'sound, {path.stat().st_size / 1e6:.1f} MB'}", advice)


def check_knowledge(folder: str) -> Finding:
    """Is the knowledge base without mistakes?"""
    try:
        return Finding("knowledge base", f"valid, version {read_bundle(folder).version}")
    except KnowledgeError as error:
        return Finding("knowledge base", str(error), "mend these lines; what is in force stays so until then")
    except WatchkeeperError as error:
        return Finding("knowledge base", str(error), "mend it")


def check_ports(settings: Settings, held_by: str) -> Iterator[Finding]:
    """Is each port free, or held by the Watchkeeper that has the data folder?"""
    wanted = {"--http-port": [settings.http_port]}
    if not settings.mqtt_broker:
        wanted["--mqtt-port"] = [settings.mqtt_port, settings.mqtt_port + 1]
    for flag, ports in wanted.items():
        for port in ports:
            what = f"port {port}"
            fault = _port_fault(settings.host, port)
            if held_by:
                said = f"held, by the Watchkeeper that runs (process {held_by})"
                other = f"the Watchkeeper that runs (process {held_by}) does not listen here"
                yield (
                    Finding(what, said) if fault else Finding(what, other, f"give the {flag} that it was started with")
                )
            else:
                yield Finding(what, fault or "free", f"end what holds it, or choose another {flag}" if fault else "")


def blocked(folder: Path, seconds: float = WATCH_S) -> list[str]:
    """Partitions with messages that wait and a position that stays where it is while we look."""
    with opened(folder / FILE_NAME) as connection:
        before = positions(connection)
        waiting = [place for place, (taken, head) in before.items() if head > taken]
        if not waiting:
            return []
        time.sleep(seconds)
        after = positions(connection)
    return [
        f"{stage} at {topic}/{partition}, {after[stage, topic, partition][1] - before[stage, topic, partition][0]} wait"
        for stage, topic, partition in waiting
        if after[stage, topic, partition][0] == before[stage, topic, partition][0]
    ]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is; it is never made. Reading a log needs the right to write, so it is not opened read-only."""
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=rw", uri=True, timeout=10)
    try:
        connection.execute("PRAGMA query_only=ON")
        yield connection
    finally:
        connection.close()


def positions(connection: sqlite3.Connection) -> dict[tuple[str, str, int], tuple[int, int]]:
    """By stage, topic and partition: what is taken, and what is there."""
    topics = dict(connection.execute("SELECT name, number FROM topics"))
    (count,) = connection.execute("SELECT value FROM settings WHERE name = 'partitions'").fetchone()
    found: dict[tuple[str, str, int], tuple[int, int]] = {}
    for topic, stages in CONSUMERS.items():
        for partition in range(count):
            base = log_base(topics[topic], partition)
            head = log_head(connection, base)
            found |= {(stage, topic, partition): (log_committed(connection, stage, base), head) for stage in stages}
    return found


def _database_fault(connection: sqlite3.Connection, settings: Settings) -> tuple[str, str]:
    """What is wrong, and what to do about it; empty where nothing is."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "of another program", "choose another --data-dir"
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        return f"has schema {version}", f"run the release that wrote it; this one uses {SCHEMA_VERSION}"
    faults = [text for (text,) in connection.execute("PRAGMA quick_check(3)") if text != "ok"]
    if faults:
        return f"damaged: {'; '.join(faults)}", RESTORE
    made = dict(connection.execute("SELECT name, value FROM settings"))
    for name, asked in (("partitions", settings.partitions), ("shards", settings.shards)):
        if made.get(name, asked) != asked:
            advice = f"set {name} to {made[name]}: what is stored is divided by that number"
            return f"made with {made[name]} {name}, and {asked} are set", advice
    return "", ""


def _port_fault(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""
