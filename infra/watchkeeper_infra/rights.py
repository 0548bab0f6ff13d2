"""Which objects a function may touch on any cloud, by the beginnings of their names: it follows from its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper_infra.words import INBOX, LEARNS, OVERSIZED

if TYPE_CHECKING:
    from watchkeeper_infra.functions import FunctionSpec

BUNDLES, MODELS = "bundles/", "models/"
"""What is published: every function looks at it, whatever its row says."""
LAKE_WRITERS = ("store", "api")
MANIFESTS, FORECASTS, SCORES = "state/store/", "state/rule_check/", "state/ml_score/"
"""States that others read too: what is in the lake, the trends that forecasts are made from, the devices' bars."""
LAKE = ("segments/", "reprocess/")


def objects_of(function: FunctionSpec, publishers: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What it may only read, and what it may write too: its states, what is published, the lake if it uses it.

    `publishers` are the functions that may publish knowledge; models are published by `retrain`.
    """
    read: list[str] = []
    written = [OVERSIZED]
    if function.stage.state:
        written.append(f"state/{function.name}/")
    for prefix, who in ((BUNDLES, publishers), (MODELS, (LEARNS,))):
        (written if function.name in who else read).append(prefix)
    if "blobs" in function.uses:
        (written if function.name in LAKE_WRITERS else read).extend(LAKE)
        if MANIFESTS not in written:
            read.append(MANIFESTS)
    if function.name in ("api", LEARNS):
        read.append(SCORES)
    if function.name == "api":
        read.append(FORECASTS)
    if function.name == "ingest":
        read.append(INBOX)
    return read, written
