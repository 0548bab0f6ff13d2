"""Results as files, which docs/performance.md is made from: the newest run of each part."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from watchkeeper import __version__

FOLDER = Path(__file__).with_name("results")


def save(name: str, found: object, folder: Path = FOLDER) -> None:
    """Write what was found, and on what machine, as `name`.json."""
    content = {"at": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine(), "found": found}
    folder.mkdir(exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(content), indent=1)
    (folder / f"{name}.json").write_bytes(text + b"\n")


def load(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """What `save` has written."""
    content: dict[str, Any] = msgspec.json.decode((folder / f"{name}.json").read_bytes())
    return content


def machine() -> str:
    """What the figures were measured on."""
    model = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    return f"{os.cpu_count()} × {model or platform.machine()}, Python {platform.python_version()}, {__version__}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8").splitlines() if path.exists() else []
