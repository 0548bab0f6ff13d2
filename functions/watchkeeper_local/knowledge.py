"""Reading a knowledge base from its folder."""

from __future__ import annotations

from pathlib import Path

from watchkeeper.errors import KnowledgeError
from watchkeeper.knowledge.bundle import FOLDERS, Bundle


def shipped_folder() -> Path:
    """The knowledge base that comes with Watchkeeper: in the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "knowledge_base"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "knowledge_base"


def read_bundle(folder: str = "") -> Bundle:
    """The bundle of a folder, the shipped one where it is empty. KnowledgeError: it is not there, or has mistakes."""
    root = Path(folder) if folder else shipped_folder()
    if not root.is_dir():
        message = f"{root}: no such folder; a knowledge base has the folders {', '.join(FOLDERS)}"
        raise KnowledgeError(message)
    files: dict[str, str] = {}
    for path in sorted(file for name in FOLDERS for file in (root / name).glob("*") if file.is_file()):
        try:
            files[path.relative_to(root).as_posix()] = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"{path}: cannot be read: {error}"
            raise KnowledgeError(message) from error
    return Bundle.from_files(files)
