"""The trained part of the detector as bytes: an Isolation Forest and how its scores were distributed in training."""

import zlib

import msgspec
import numpy as np

from watchkeeper.detection.features import FEATURE_NAMES
from watchkeeper.detection.forest import Forest
from watchkeeper.detection.series import F64
from watchkeeper.errors import ModelError
from watchkeeper.migration import Upgrades, migrated

MAGIC = b"WKM"
VERSION = 1
UPGRADES: Upgrades = {}
"""What leads from an earlier version's fields, as a dict, to the next one's."""
MOST_DEPTH = 64


class Model(msgspec.Struct, frozen=True):
    """version names it; trained_at: epoch ms; rows: readings trained on; tail: see `tail_of`."""

    version: str
    trained_at: int
    forest: Forest
    feature_names: tuple[str, ...]
    rows: int
    tail: tuple[float, ...]

    def surprise(self, x: F64) -> F64:
        """-log of the share of training readings at least as strange, in nats: (rows, features) -> (rows)."""
        tail = np.asarray(self.tail)
        nats: F64 = np.interp(-self.forest.score(x), tail, np.arange(tail.size) * np.log(2.0))
        return nats

    def encode(self) -> bytes:
        body = msgspec.msgpack.encode(self)
        return b"%b%d" % (MAGIC, VERSION) + zlib.crc32(body).to_bytes(4, "little") + body

    @staticmethod
    def decode(data: bytes) -> "Model":
        """The model in `data`; ModelError if it is damaged, of a later version or for other features."""
        found = bytes(data[3:4])
        if data[:3] != MAGIC or not found.isdigit():
            raise ModelError(f"not a model: begins with {data[:4]!r} instead of {MAGIC!r}; train it again")
        if zlib.crc32(data[8:]).to_bytes(4, "little") != data[4:8]:
            raise ModelError("the model is damaged: its checksum does not match; roll back to an earlier one")
        try:
            body = data[8:]
            if int(found) != VERSION:
                fields = migrated(msgspec.msgpack.decode(body), int(found), VERSION, UPGRADES, "a model", ModelError)
                body = msgspec.msgpack.encode(fields)
            model = msgspec.msgpack.decode(body, type=Model)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ModelError(f"the model cannot be read: {error}") from error
        if model.feature_names != FEATURE_NAMES or model.forest.columns != len(FEATURE_NAMES):
            raise ModelError(f"model {model.version} is for other features than this release's; train it again")
        if not model.tail or not np.isfinite(model.tail).all() or (np.diff(model.tail) < 0).any():
            raise ModelError(f"model {model.version} has no ascending tail; train it again")
        if model.forest.depth > MOST_DEPTH:
            raise ModelError(f"model {model.version} has trees of {model.forest.depth} levels; train it again")
        return model


def tail_of(strangeness: F64) -> tuple[float, ...]:
    """Scores exceeded by 1, 1/2, 1/4 … of the training readings, while at least four are left: ascending."""
    ranks: F64 = 1.0 - np.float64(0.5) ** np.arange(max(1, int(np.log2(max(strangeness.size, 1))) - 1))
    return tuple(np.quantile(strangeness, ranks).tolist())
