"""Files and objects by their name: what is in them, and whose it is where no column says so."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.intake.sent import NAME
from watchkeeper.intake.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watchkeeper.intake.sent import Form

ENDINGS: Mapping[str, Form] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
}
GZIP_ENDING = ".gz"
FOREIGN = re.compile(r"[^A-Za-z0-9._:@-]+")
KNOWN = f"{', '.join(ENDINGS)}, and each of them with {GZIP_ENDING} behind it"


class Kind(NamedTuple):
    """What a name says of a file: its form, whether it is packed, and the device of readings that name none."""

    form: Form
    packed: bool
    device: str

    def slices(self) -> Slices:
        """What cuts it."""
        return Slices(self.form, packed=self.packed)


def kind_of(key: str) -> Kind | None:
    """What the name of a file, or the key of an object, says; None: its ending is none that is known.

    The device is the name without its endings and what a device's id may not have: `hall 3/pump-07.csv.gz` is pump-07.
    """
    path = PurePosixPath(key)
    packed = path.suffix.lower() == GZIP_ENDING
    inner = path.with_suffix("") if packed else path
    form = ENDINGS.get(inner.suffix.lower())
    if form is None:
        return None
    device = FOREIGN.sub("-", inner.stem).lstrip("._:@-")[:128]
    return Kind(form, packed, device if NAME.fullmatch(device) else "")
