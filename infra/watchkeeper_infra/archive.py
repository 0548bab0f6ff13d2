"""Zips that are the same bytes for the same files, whoever makes them, where, and when.

Nothing is compressed: how many bytes zlib makes of a file depends on its version and build.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
UNIX = 3
MODE = 0o100755 << 16
CACHES = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
TESTS = {"tests", "test"}
NOT_AT_RUN_TIME = {
    ".pyc",
    ".pyi",
    ".pyx",
    ".pxd",
    ".c",
    ".cpp",
    ".h",
    ".hpp",
    ".a",
    ".exe",
    ".md",
    ".rst",
    ".f90",
    ".f",
}
OF_THE_INSTALLATION = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", ".lock", ".gitignore"}
NEEDED = ("numpy/_core/tests/_natype.py", "numpy/_core/tests/__init__.py")
"""What looks like a test and is imported all the same: by numpy.testing."""


def is_no_cache(file: Path) -> bool:
    """Is a file of our own folders one that a person has written?"""
    return not (set(file.parts) & CACHES) and file.suffix != ".pyc"


def is_needed(file: Path) -> bool:
    """Is a file of a folder of packages wanted at run time: no test, cache, source of a binary, or installer's note?"""
    folders = set(file.parts[:-1])
    if file.as_posix() in NEEDED:
        return True
    if folders & CACHES or folders & TESTS or file.parts[0] == "bin":
        return False
    return file.suffix not in NOT_AT_RUN_TIME and file.name not in OF_THE_INSTALLATION


class Part(NamedTuple):
    """What is put into an archive: a folder's wanted files below a name (empty: at the root), or one file, so called.

    `wanted` gets the path of a file inside of the folder.
    """

    source: Path
    below: str = ""
    wanted: Callable[[Path], bool] = is_no_cache

    def files(self) -> Iterator[tuple[str, Path]]:
        """Each file with its name in the archive. FileNotFoundError: there is nothing of that name."""
        if not self.source.exists():
            raise FileNotFoundError(f"nothing is at {self.source}, which belongs into an archive")
        if self.source.is_file():
            yield self.below, self.source
            return
        for file in self.source.rglob("*"):
            inside = file.relative_to(self.source)
            if file.is_file() and self.wanted(inside):
                yield f"{self.below}{inside.as_posix()}", file


def write_archive(path: Path, parts: Iterable[Part]) -> int:
    """Zip the parts; answers the bytes that are in it."""
    files = sorted(file for part in parts for file in part.files())
    size = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, file in files:
            info = zipfile.ZipInfo(name, EPOCH)
            info.create_system, info.external_attr = UNIX, MODE
            data = file.read_bytes()
            archive.writestr(info, data)
            size += len(data)
    return size
