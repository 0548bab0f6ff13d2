"""Retraining: learns a model from what is stored and puts it in force, unless one is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchkeeper.errors import ModelError
from watchkeeper.published import publish_model

if TYPE_CHECKING:
    from watchkeeper_aws.container import Container


def retrain_now(container: Container) -> dict[str, object]:
    """What became of it. The one function that loads scikit-learn."""
    from watchkeeper.stages.retrain import retrain

    try:
        model = retrain(container.ports, container.settings.shards, container.clock())
    except ModelError as error:
        return {"model": "", "why": str(error)}
    return {
        "model": model.version,
        "rows": model.rows,
        "in_force": publish_model(container.ports.blobs, model),
    }
