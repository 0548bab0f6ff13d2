"""Folders of static pages that a stack uploads: whether one may be, and what is in it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from watchkeeper_infra.errors import StackConfigError

if TYPE_CHECKING:
    from pathlib import Path


def dashboard_folder(root: Path, name: str) -> Path:
    """The folder of the dashboard. StackConfigError: it has no index.html."""
    if not (root / name / "index.html").is_file():
        message = f"watchkeeper:dashboardFolder: {name!r} is not allowed; a folder with an index.html"
        raise StackConfigError([message])
    return root / name


def digest_of(folder: Path) -> str:
    """A digest of all files of a folder, their names included."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
