"""A knowledge base from its folder: its files, and putting it in force when many start at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.bundles import publish_at_start
from watchkeeper.errors import ConfigError, Conflict
from watchkeeper.knowledge.bundle import FOLDERS

if TYPE_CHECKING:
    from watchkeeper.bundles import InForce
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Blobs

TRIES = 10


def read_files(root: Path) -> dict[str, str]:
    """The files of a folder, by path within it. ConfigError: it is no knowledge base, or cannot be read.

    What is no UTF-8 is kept as lone surrogates, which `Bundle.from_files` reports by file and line.
    """
    if not any((root / name).is_dir() for name in FOLDERS):
        what = "no knowledge base, which" if root.is_dir() else "no such folder; a knowledge base"
        raise ConfigError(f"{root}: {what} has the folders {', '.join(FOLDERS)}")
    files: dict[str, str] = {}
    for path in sorted(file for name in FOLDERS for file in (root / name).glob("*") if file.is_file()):
        try:
            files[path.relative_to(root).as_posix()] = path.read_text("utf-8", errors="surrogateescape")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return files


def publish_in_company(blobs: Blobs, bundle: Bundle, folder: str, *, now: int) -> InForce:
    """As `publish_at_start`, where others start at the same moment, with the same folder most likely: it looks again.

    Conflict: they would not let it.
    """
    for _ in range(TRIES - 1):
        try:
            return publish_at_start(blobs, bundle, folder, now=now)
        except Conflict:
            continue
    return publish_at_start(blobs, bundle, folder, now=now)
