"""What is published to every worker: the knowledge bundle, the detection model, and what the budget has switched off.

Each is an immutable object and one pointer that is moved; a worker looks at the pointers every REFRESH_MS.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import msgspec

from watchkeeper.bundles import CURRENT_BUNDLE, decode_in_force, stored_bundle
from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.detection.classes import CLASSES, ClassBook
from watchkeeper.detection.model import Model
from watchkeeper.errors import KnowledgeError, ModelError
from watchkeeper.model_in_force import CURRENT_MODEL, Pin, model_key
from watchkeeper.ports import Key
from watchkeeper.records import Cutoff, Switches
from watchkeeper.topology import CUTOFFS

if TYPE_CHECKING:
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Blob, Ports, Tables

log = logging.getLogger(__name__)
REFRESH_MS = 5_000
CURRENT_CUTOFF = Key("current", "-")


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
    classes: ClassBook | None = None
    switches: Switches = dataclasses.field(default_factory=Switches)
    refreshed: int = -REFRESH_MS  # epoch ms
    _classes: str | None = None  # the version of the blob that is held

    def refresh(self, now: int) -> None:
        """Look at the pointers, if it is time to. Unavailable: they cannot be read, and the next call looks again.

        What is published and cannot be understood is said in the log, and what was in force stays so: it is nobody's
        message that is wrong.
        """
        if 0 <= now - self.refreshed < REFRESH_MS:
            return
        pointers = self.ports.blobs.get_many([CURRENT_BUNDLE, CURRENT_MODEL, CLASSES])
        takes = ((CURRENT_BUNDLE, self._take_bundle), (CURRENT_MODEL, self._take_model), (CLASSES, self._take_classes))
        for key, take in takes:
            if key in pointers:
                try:
                    take(pointers[key])
                except (KnowledgeError, ModelError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                    log.error("%s cannot be put in force, and what was before it stays: %s", key, error)
        try:
            self.switches = current_cutoff(self.ports.tables).now
        except msgspec.MsgspecError as error:
            log.error("what is switched off cannot be read, and stays as it was: %s", error)
        self.refreshed = now

    def _take_bundle(self, pointer: Blob) -> None:
        version = decode_in_force(pointer.data).version
        if version != self.bundle.version:
            self.bundle = stored_bundle(self.ports.blobs, version)

    def _take_classes(self, held: Blob) -> None:
        if held.version != self._classes:
            self._classes = held.version
            self.classes = msgspec.msgpack.decode(held.data, type=ClassBook)

    def _take_model(self, pointer: Blob) -> None:
        version = msgspec.json.decode(pointer.data, type=Pin).version
        if version and (self.model is None or version != self.model.version):
            key = model_key(version)
            blob = self.ports.blobs.get_many([key]).get(key)
            if blob is None:
                message = f"{key} is pointed to and not stored"
                raise ModelError(message)
            self.model = Model.decode(blob.data)
