"""Writing a series of one's own, as the store stage writes the final one: segments that are merged as they grow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.pipeline import STAGES
from watchkeeper.series.assembly import Assembly
from watchkeeper.series.manifest import KnownDevice, StoreState
from watchkeeper.series.merging import Merging
from watchkeeper.states import Envelope, States
from watchkeeper.topology import FINAL_DATA_STORAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.packs import Pack
    from watchkeeper.ports import Blobs
    from watchkeeper.series.section import Section


@dataclasses.dataclass(slots=True)
class Copy:
    """A new series of one shard; it can be read after `close`."""

    blobs: Blobs
    shard: int
    state: StoreState = dataclasses.field(default_factory=StoreState)

    def add(self, packs: Sequence[Pack]) -> None:
        """These readings come after all that were added before."""
        assembly = Assembly()
        for pack in packs:
            assembly.add_pack(pack)
        sections = [section for _, section in assembly.sections(by_time=False)]
        if not sections:
            return
        for section in sections:
            self._know(section, assembly)
        merging = Merging(self.shard, self.state, self.blobs)
        merging.append(sections, assembly)
        for key, data in merging.written.items():
            self.blobs.put(key, data)
        self.blobs.delete(merging.expired)

    def close(self) -> None:
        """Write the manifest."""
        states = States(STAGES["store"], FINAL_DATA_STORAGE.name, self.blobs)
        before = states.load([self.shard])[self.shard]
        states.save({self.shard: Envelope({}, self.state, before.version)})

    def _know(self, section: Section, assembly: Assembly) -> None:
        starts = np.cumsum(section.counts) - section.counts
        firsts = np.minimum.reduceat(section.ts, starts).tolist()
        lasts = np.maximum.reduceat(section.ts, starts).tolist()
        for key, first, last in zip(section.devices, firsts, lasts, strict=True):
            known = self.state.device(key)
            if known is None:
                known = KnownDevice(*key, assembly.sites.get(key, ""), section.metrics, first, last, 0)
            metrics = tuple(sorted({*known.metrics, *section.metrics}))
            span = min(first, known.first_seen), max(last, known.last_seen)
            self.state.know(KnownDevice(*key, known.site, metrics, *span, 0, known.newest))
