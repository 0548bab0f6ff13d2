"""Reading a knowledge base from its folder."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.errors import ConfigError
from watchkeeper.knowledge.bundle import FOLDERS, Bundle


def shipped_folder() -> Path:
    """The knowledge base that comes with Watchkeeper: in the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "knowledge_base"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "knowledge_base"


def folder_name(folder: str = "") -> str:
    """What it is remembered by that a folder was published: its path, wherever the command was given."""
    return str(Path(folder).resolve()) if folder else "shipped"


def read_bundle(folder: str = "") -> Bundle:
    """The bundle of a folder, the shipped one where it is empty. KnowledgeError: it is not there, or has mistakes."""
    return Bundle.from_files(read_files(folder))


def read_files(folder: str = "") -> dict[str, str]:
    """The files of a folder, by path within it. ConfigError: it is no knowledge base, or cannot be read.

    What is no UTF-8 is kept as lone surrogates, which `Bundle.from_files` reports by file and line.
    """
    root = Path(folder) if folder else shipped_folder()
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
