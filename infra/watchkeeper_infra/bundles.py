"""The functions' bundles as they were built by `make bundles`: where they are, and what they hold."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper_infra.errors import StackConfigError
from watchkeeper_infra.functions import SIZES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CODE = "code"
LAYERS = tuple(SIZES)


class BuiltBundle(NamedTuple):
    """A zip, and its SHA-256 in hexadecimal and as Lambda says it."""

    path: Path
    hexdigest: str
    digest: str


def built_bundles(folder: Path, names: Sequence[str]) -> Mapping[str, BuiltBundle]:
    """The bundles with these names. StackConfigError: some are not there."""
    missing = [name for name in names if not (folder / f"{name}.zip").is_file()]
    if missing:
        message = f"watchkeeper:bundles: {str(folder)!r} has no {'.zip, '.join(missing)}.zip; run `make bundles`"
        raise StackConfigError([message])
    return {name: _read(folder / f"{name}.zip") for name in names}


def _read(path: Path) -> BuiltBundle:
    digest = hashlib.sha256(path.read_bytes())
    return BuiltBundle(path, digest.hexdigest(), base64.b64encode(digest.digest()).decode())
