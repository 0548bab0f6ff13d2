"""Which objects a function may touch on any cloud, by the beginnings of their names: it follows from its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper_infra.words import INBOX, OVERSIZED

if TYPE_CHECKING:
    from watchkeeper_infra.functions import FunctionSpec

PREFIXES = {"knowledge": "bundles/", "detection_model": "models/"}
PUBLISHERS = {"knowledge": ("api", "budget_cutoff"), "detection_model": ("retrain",)}
"""Which functions may replace what the others read: people by the API, what was deployed by one that runs by itself."""
LAKE_WRITERS = ("store", "api")
LAKE = ("segments/", "reprocess/")


def objects_of(function: FunctionSpec) -> tuple[list[str], list[str]]:
    """What it may only read, and what it may write too: its states, what is published to it, the lake if it uses it."""
    read: list[str] = []
    written = [OVERSIZED]
    if function.stage.state:
        written.append(f"state/{function.name}/")
    for use, prefix in PREFIXES.items():
        if use in function.uses:
            (written if function.name in PUBLISHERS[use] else read).append(prefix)
    if "blobs" in function.uses:
        (written if function.name in LAKE_WRITERS else read).extend(LAKE)
    if function.name == "ingest":
        read.append(INBOX)
    return read, written
