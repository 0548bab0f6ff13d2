"""Reading a knowledge base from its folder."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.knowledge.bundle import Bundle
from watchkeeper_adapters import knowledge_files


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
    """The files of a folder, by path within it. ConfigError: it is no knowledge base, or cannot be read."""
    return knowledge_files.read_files(Path(folder) if folder else shipped_folder())
