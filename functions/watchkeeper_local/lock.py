"""One Watchkeeper to a data folder: two would run the same partitions, and fight over every state."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from watchkeeper.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "watchkeeper.lock"


def holder(folder: Path) -> str:
    """The process that holds the folder, as far as it has said; empty: nobody does. Nothing is made or changed."""
    try:
        handle = os.open(folder / FILE_NAME, os.O_RDONLY)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _written(handle) or "unknown"
    else:
        return ""
    finally:
        os.close(handle)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder. ConfigError: another process holds it, or it cannot be used. Given up when the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        message = f"{folder}: {error.strerror}: choose another --data-dir"
        raise ConfigError(message) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = (
                f"{folder} is in use by another Watchkeeper (process {_written(handle)}); stop it, or choose another "
                "--data-dir"
            )
            raise ConfigError(message) from error
        os.truncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _written(handle: int) -> str:
    return os.pread(handle, 20, 0).decode(errors="replace").strip()
