"""The files of a knowledge base, from a folder."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.errors import ConfigError
from watchkeeper.knowledge.bundle import FOLDERS


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
