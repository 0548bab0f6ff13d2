"""A watched folder: files that appear in it are taken once they are complete, and moved to `done/` or `failed/`.

Complete is what has kept its size and time for QUIET_S. A restart in the middle of a file begins it anew: the slices
that were taken are recognised, and not taken again.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.admission import Admission, Taken, take_object
from watchkeeper.errors import ConfigError, DecodeError, Unavailable
from watchkeeper.intake.objects import KNOWN, kind_of
from watchkeeper_local.node import clock, open_node, set_up_logging
from watchkeeper_local.pressure import Pressure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
QUIET_S = 2.0
LOOK_S = 0.5
CHUNK = 1 << 18
DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart", "~")
LISTED = 100  # rejected records that are written down beside a file
SYMLINK = "a symbolic link: put the file itself here"


class _Seen(NamedTuple):
    """What a file was when it was looked at: it is complete when it stays so."""

    inode: int
    size: int
    mtime_ns: int


class _StopError(Exception):
    """The process is to end; the file is begun anew by the next one."""


class _ChangedError(Exception):
    """Somebody still writes to the file; it is begun anew when it is quiet."""


class Watcher:
    """One folder. `look` again and again."""

    def __init__(
        self,
        folder: Path,
        admission: Admission,
        between: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The folder must have been prepared."""
        self._folder, self._admission, self._between, self._monotonic = folder, admission, between, monotonic
        self._seen: dict[str, tuple[_Seen, float]] = {}
        self._over: dict[str, tuple[_Seen, str, str]] = {}  # files that are over and could not be moved

    @staticmethod
    def prepare(folder: Path) -> None:
        """Make `done` and `failed` in it. ConfigError: it is no folder, or may not be written to."""
        try:
            for name in (DONE, FAILED):
                (folder / name).mkdir(exist_ok=True)
        except OSError as error:
            message = f"watch_folder {folder}: {error.strerror}; it must be a folder this user may write to"
            raise ConfigError(message) from error

    def look(self) -> int:
        """Take what is complete, oldest first; answers how many files have been taken or refused."""
        try:
            found = dict(self._entries())
        except OSError as error:
            log.error("the watched folder %s cannot be read, and is looked at again: %s", self._folder, error)
            return 0
        self._seen = {name: seen for name, seen in self._seen.items() if name in found}
        self._over = {name: over for name, over in self._over.items() if name in found}
        complete = [name for name, now in found.items() if self._is_complete(name, now)]
        complete.sort(key=lambda name: (found[name].mtime_ns, name))
        return sum(self._take(name, found[name]) for name in complete)

    def _entries(self) -> Iterator[tuple[str, _Seen]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(found.st_mode):
                    yield entry.name, _Seen(found.st_ino, found.st_size, found.st_mtime_ns)

    def _is_complete(self, name: str, now: _Seen) -> bool:
        before, since = self._seen.get(name, (None, 0.0))
        if before != now:
            self._seen[name] = (now, self._monotonic())
            return False
        return self._monotonic() - since >= QUIET_S

    def _take(self, name: str, seen: _Seen) -> bool:
        over = self._over.get(name)
        if over and over[0] == seen:
            return self._move(name, seen, over[1], over[2])
        taken = Taken()
        try:
            if kind_of(name) is None:
                return self._move(name, seen, FAILED, f"its ending is none of {KNOWN}")
            take_object(self._admission, name, self._chunks(name, seen), taken, between=self._between)
        except _ChangedError:
            log.info("%s is still written to; it is taken when it is quiet", name)
            return False
        except Unavailable as error:
            log.error("%s waits, as storage is away: %s", name, error)
            return False
        except (DecodeError, OSError) as error:
            already = f"\n{taken.accepted} readings before that are taken." if taken.accepted else ""
            return self._move(name, seen, FAILED, f"{_why(error)}{already}")
        told = "".join(f"record {item.index}: {item.reason}\n" for item in taken.rejected[:LISTED])
        if taken.rejected_count:
            told = f"{taken.accepted} readings are taken, {taken.rejected_count} rejected; the first of these:\n{told}"
        return self._move(name, seen, DONE if taken.accepted or not told else FAILED, told)

    def _chunks(self, name: str, seen: _Seen) -> Iterator[bytes]:
        # Not blocking, so that a pipe of that name holds up nobody; not following, so that nothing outside is read.
        handle = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            while chunk := file.read(CHUNK):
                yield chunk
            now = os.fstat(handle)
            if _Seen(now.st_ino, now.st_size, now.st_mtime_ns) != seen:
                raise _ChangedError

    def _move(self, name: str, seen: _Seen, where: str, told: str) -> bool:
        """Move a file that is over, with what is to be told beside it; one that cannot be moved is not taken again."""
        target = _free_name(self._folder / where, name)
        try:
            (self._folder / name).rename(target)
        except OSError as error:
            if name not in self._over:
                log.error("%s is over, and cannot be moved to %s: %s", name, where, error)
            self._over[name] = (seen, where, told)
            return False
        self._over.pop(name, None)
        self._seen.pop(name, None)
        if where == FAILED:
            log.error("%s could not be taken: %s", name, told.partition("\n")[0])
        if told:
            note = target.with_name(f"{target.name}.error")
            try:
                note.write_text(f"{told.rstrip()}\n", "utf-8", errors="replace")
            except OSError as error:
                log.error("%s cannot be written (%s); it would say: %s", note, error, told)
        return True


def watch_folder(settings: Settings, stop: threading.Event) -> None:
    """Watch the settings' folder, in a process of its own."""
    set_up_logging(settings, "watch-folder")
    ports, published = open_node(settings, durable=True)
    pressure = Pressure(ports)

    def between() -> None:
        while pressure.bulk_waits() and not stop.is_set():
            stop.wait(0.1)
        if stop.is_set():
            raise _StopError

    watcher = Watcher(Path(settings.watch_folder), Admission(ports, published, settings.shards, clock), between)
    try:
        while not stop.wait(LOOK_S):
            watcher.look()
    except _StopError:
        log.info("stopped in the middle of a file; it is begun anew")
    ports.close()


def _free_name(folder: Path, name: str) -> Path:
    """The name, or with a number before its endings where there is one of that name."""
    stem, dot, endings = name.partition(".")
    number = 0
    while True:
        path = folder / (f"{stem}-{number}{dot}{endings}" if number else name)
        if not os.path.lexists(path):
            return path
        number += 1


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return SYMLINK if error.errno == errno.ELOOP else f"it cannot be read: {error.strerror}"
    return str(error)
