"""Who the devices of a pack are to rule_check: looked up in the catalogue and the rules once, not for each pack."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.packs import NO_INTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchkeeper.checking.state import CheckState
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.knowledge.rules import Group
    from watchkeeper.packs import Ints
    from watchkeeper.records import Device

MANY = 4096


class Kind(NamedTuple):
    """What devices have in common to which the same rules apply in the same way."""

    group: Group
    class_name: str
    zone: str


class Present(NamedTuple):
    """The devices of a pack (n): where they are in the roster, their slots, and which of `kinds` they are of."""

    place: Ints
    slots: Ints
    kind: Ints
    kinds: Sequence[Kind]

    def of(self, device: int) -> Kind:
        """The kind of the pack's device of this number."""
        return self.kinds[int(self.kind[device])]


class Roster:
    """The devices of a shard, at each of their sites, as one bundle knows them."""

    def __init__(self, bundle: Bundle) -> None:
        """Nobody is known yet."""
        self.bundle = bundle
        self._kinds: list[Kind] = []
        self._numbers: dict[tuple[int, str, str], int] = {}
        self._places: dict[Device, int] = {}
        self._slots, self._kind = NO_INTS, NO_INTS
        self._latest = NO_INTS  # by slot: the place of the device where its site was seen last

    def find(self, state: CheckState, devices: Sequence[Device]) -> Present:
        """The devices of a pack; those that were never heard get a slot of the state."""
        place = np.fromiter(map(self._places.get, devices, repeat(-1)), np.int64, len(devices))
        if (place < 0).any():
            if len(self._places) > 2 * len(state.devices) + MANY:  # a few send another site with every reading
                self._places.clear()
                self._latest[:] = -1
            self._add([who for who in dict.fromkeys(devices) if who not in self._places], state)
            place = np.array([self._places[who] for who in devices], np.int64)
        return Present(place, self._slots[place], self._kind[place], self._kinds)

    def settle(self, state: CheckState, here: Present, devices: Sequence[Device]) -> None:
        """Note in the state which of a pack's devices have another site than before."""
        if (self._latest[here.slots] == here.place).all():
            return
        for slot, who in zip(here.slots.tolist(), devices, strict=True):
            if state.devices[slot].site != who.site:
                state.moved(slot, who.site)
        self._latest[here.slots] = here.place  # where a slot comes more than once, the last assignment stands

    def _add(self, devices: Sequence[Device], state: CheckState) -> None:
        slots = [state.slot(who.tenant, who.device, who.site) for who in devices]
        known = len(self._places)
        self._places |= {who: known + number for number, who in enumerate(devices)}
        self._slots = np.concatenate([self._slots[:known], np.array(slots, np.int64)])
        kind = [self._kind_of(who) for who in devices]
        self._kind = np.concatenate([self._kind[:known], np.array(kind, np.int64)])
        self._latest = np.concatenate([self._latest, np.full(len(state.devices) - len(self._latest), -1)])

    def _kind_of(self, who: Device) -> int:
        profile = self.bundle.catalogue.profile(who.device)
        group = self.bundle.rules.group(profile.class_name, who.site, who.device)
        number = self._numbers.setdefault((group.number, profile.class_name, profile.time_zone), len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(Kind(group, profile.class_name, profile.time_zone))
        return number
