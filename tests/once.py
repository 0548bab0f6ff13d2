"""What is dear to make is made once in a test run: its workers share a folder, and wait for each other."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


def shared_folder(name: str, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of this name that is the same one for all workers of a test run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """As long as this lasts, no other process is in here with this folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
