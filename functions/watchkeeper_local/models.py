"""`watchkeeper models`: the detection model in force, and its earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.errors import ConfigError
from watchkeeper.published import current_pin, model_versions, pin_model, roll_back_model
from watchkeeper_local.node import open_node
from watchkeeper_local.sqlite.ports import FILE_NAME
from watchkeeper_local.training import retrain_now

if TYPE_CHECKING:
    from watchkeeper_local.settings import Settings


def manage_models(settings: Settings, action: str, version: str) -> int:
    """List, train, pin, unpin or roll back. ModelError: there is no such model, or too little to learn from."""
    if (action == "pin") != bool(version):
        message = "`models pin` needs a version, the other actions none; `models list` shows them"
        raise ConfigError(message)
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        message = f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir"
        raise ConfigError(message)
    ports, _ = open_node(settings, durable=True)
    try:
        if action == "train":
            print(retrain_now(ports, settings.shards))
        elif action == "pin":
            pin_model(ports.blobs, version)
        elif action == "unpin":
            pin_model(ports.blobs, current_pin(ports.blobs).version, pinned=False)
        elif action == "rollback":
            roll_back_model(ports.blobs)
        pin = current_pin(ports.blobs)
        for name in model_versions(ports.blobs):
            in_force = ("  in force, pinned" if pin.pinned else "  in force") if name == pin.version else ""
            print(f"{name}{in_force}")
        if not pin.version:
            print("no model is in force yet: readings are scored by their devices' baselines alone")
    finally:
        ports.close()
    return 0
