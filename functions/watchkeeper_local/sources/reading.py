"""The two shapes of what sources hand over: one reading as people send it, and a stretch of time as columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NotRequired, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Millis = npt.NDArray[np.int64]


class SourceReading(TypedDict):
    """One reading in the form of `POST /ingest/batch`; `ts` is epoch milliseconds."""

    device: str
    ts: int
    values: dict[str, float]
    tags: NotRequired[dict[str, str]]
    site: NotRequired[str]


class Columns(msgspec.Struct, frozen=True):
    """A stretch of time of several devices: `ts` has T moments (epoch ms), each metric in `values` is T × devices."""

    devices: tuple[str, ...]
    ts: Millis
    values: dict[str, Floats]
    tags: dict[str, str]
    site: str

    def __len__(self) -> int:
        """How many readings there are: moments times devices."""
        return len(self.ts) * len(self.devices)

    def readings(self) -> Iterator[SourceReading]:
        """The same as single readings, moment by moment and within it device by device."""
        names = tuple(self.values)
        for row, ts in enumerate(self.ts.tolist()):
            cells = zip(*(self.values[name][row].tolist() for name in names), strict=True)
            for device, numbers in zip(self.devices, cells, strict=True):
                yield {
                    "device": device,
                    "ts": ts,
                    "values": dict(zip(names, numbers, strict=True)),
                    "tags": dict(self.tags),
                    "site": self.site,
                }


def moments(start_ms: int, end_ms: int, step_ms: int) -> Millis:
    """Epoch milliseconds from `start_ms` up to, not including, `end_ms`; ValueError if there is no such moment."""
    if step_ms <= 0 or end_ms <= start_ms:
        raise ValueError(
            f"no moment from {start_ms} to {end_ms} in steps of {step_ms} ms: end after start, step above 0"
        )
    return np.arange(start_ms, end_ms, step_ms, dtype=np.int64)
