from pathlib import Path

import pytest

from watchkeeper.knowledge.bundle import FOLDERS, Bundle

KNOWLEDGE_BASE = Path(__file__).parents[3] / "knowledge_base"


@pytest.fixture(scope="session")
def shipped_files() -> dict[str, str]:
    paths = [path for folder in FOLDERS for path in (KNOWLEDGE_BASE / folder).rglob("*") if path.is_file()]
    return {path.relative_to(KNOWLEDGE_BASE).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="session")
def shipped(shipped_files: dict[str, str]) -> Bundle:
    return Bundle.from_files(shipped_files)
