"""What is published to every worker: the knowledge bundle, the detection model, and what the budget has switched off.

Each is an immutable object and one pointer that is moved; a worker looks at the pointers every REFRESH_MS.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.detection.model import Model
from watchkeeper.errors import ModelError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Key
from watchkeeper.records import Cutoff, Switches
from watchkeeper.topology import CUTOFFS

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs, Ports, Tables

REFRESH_MS = 5_000
CURRENT_BUNDLE = "bundles/current"
CURRENT_MODEL = "models/current"
CURRENT_CUTOFF = Key("current", "-")


def bundle_key(version: str) -> str:
    """Where a bundle is."""
    return f"bundles/{version}.json"


def model_key(version: str) -> str:
    """Where a model is."""
    return f"models/{version}.model"


def publish_bundle(blobs: Blobs, bundle: Bundle) -> None:
    """Put a valid bundle in force. Conflict: somebody else published at the same moment."""
    before = blobs.get_many([CURRENT_BUNDLE]).get(CURRENT_BUNDLE)
    if before and before.data.decode() == bundle.version:
        return
    blobs.put(bundle_key(bundle.version), bundle.encode())
    blobs.put(CURRENT_BUNDLE, bundle.version.encode(), before.version if before else ABSENT)


class Pin(msgspec.Struct, frozen=True):
    """The model in force, the one before it, and whether retraining may replace it."""

    version: str
    previous: str = ""
    pinned: bool = False


def current_pin(blobs: Blobs) -> Pin:
    """Which model is in force; an empty version: none yet."""
    return _pin(blobs)[0]


def publish_model(blobs: Blobs, model: Model) -> bool:
    """Store a new model and put it in force, unless the one in force is pinned; answers whether it is in force."""
    blobs.put(model_key(model.version), model.encode())
    pin, version = _pin(blobs)
    if not pin.pinned:
        blobs.put(CURRENT_MODEL, msgspec.json.encode(Pin(model.version, pin.version)), version)
    return not pin.pinned


def pin_model(blobs: Blobs, model: str, *, pinned: bool = True) -> Pin:
    """Put a stored model in force and keep it, or (`pinned=False`) let retraining go on. ModelError: no such model."""
    if not blobs.versions([model_key(model)]):
        known = ", ".join(model_versions(blobs)) or "none"
        message = f"there is no model {model!r}; stored are: {known}"
        raise ModelError(message)
    before, version = _pin(blobs)
    pin = Pin(model, before.previous if before.version == model else before.version, pinned)
    blobs.put(CURRENT_MODEL, msgspec.json.encode(pin), version)
    return pin


def roll_back_model(blobs: Blobs) -> Pin:
    """Put the model before the present one in force, and pin it. ModelError: there is none."""
    previous = current_pin(blobs).previous
    if not previous:
        message = "there is no earlier model to roll back to"
        raise ModelError(message)
    return pin_model(blobs, previous)


def model_versions(blobs: Blobs) -> list[str]:
    """The versions of all stored models."""
    names = (key.removeprefix("models/") for key in blobs.list("models/"))
    return [name.removesuffix(".model") for name in names if name.endswith(".model")]


def _pin(blobs: Blobs) -> tuple[Pin, str | None]:
    held = blobs.get_many([CURRENT_MODEL]).get(CURRENT_MODEL)
    return (msgspec.json.decode(held.data, type=Pin), held.version) if held else (Pin(""), ABSENT)


def current_cutoff(tables: Tables) -> Cutoff:
    """What is switched off now."""
    row = tables.get_many(CUTOFFS.name, [CURRENT_CUTOFF]).get(CURRENT_CUTOFF)
    return msgspec.json.decode(row.value, type=Cutoff) if row else Cutoff()


@dataclasses.dataclass(slots=True)
class Published:
    """The published things, as a worker holds them."""

    ports: Ports
    bundle: Bundle
    budget: Budget = dataclasses.field(default_factory=lambda: Budget(0.0, LOCAL))
    model: Model | None = None
    switches: Switches = dataclasses.field(default_factory=Switches)
    refreshed: int = -REFRESH_MS

    def refresh(self, now: int) -> None:
        """Look at the pointers, if it is time to."""
        if now - self.refreshed < REFRESH_MS:
            return
        self.refreshed = now
        pointers = self.ports.blobs.get_many([CURRENT_BUNDLE, CURRENT_MODEL])
        if CURRENT_BUNDLE in pointers:
            version = pointers[CURRENT_BUNDLE].data.decode()
            if version != self.bundle.version:
                self.bundle = Bundle.decode(self.ports.blobs.get_many([bundle_key(version)])[bundle_key(version)].data)
        if CURRENT_MODEL in pointers:
            version = msgspec.json.decode(pointers[CURRENT_MODEL].data, type=Pin).version
            if version and (self.model is None or version != self.model.version):
                stored = self.ports.blobs.get_many([model_key(version)]).get(model_key(version))
                self.model = Model.decode(stored.data) if stored else None
        self.switches = current_cutoff(self.ports.tables).now
