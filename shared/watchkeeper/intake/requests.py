"""Requests that came under a key of their client's: the same key and body again is answered, and stored nothing twice.

The notes lie in a fixed number of rows, each with its latest: so they take a bounded space, and nothing has to be
deleted. What is remembered is the receipt's counts; what was wrong with single readings can be found out again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from watchkeeper.ids import device_hash
from watchkeeper.records import RequestNote, RequestSlot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SLOTS = 1_024
NOTES = 128  # in a slot; 65,000 requests find room, and among a hundred million keys none is pushed out before that
WINDOW_MS = 7 * 24 * 3600 * 1000


class Place(NamedTuple):
    """Where a request is noted: tenant and slot, as the keys of a row."""

    tenant: str
    slot: str


def place_of(tenant: str, key: str) -> Place:
    """The place of a request by its key."""
    return Place(tenant, f"{device_hash(tenant, key) % SLOTS:04d}")


def digest_of(*parts: str, body: bytes) -> int:
    """63 bits that stand for what was sent, and to where."""
    digest = hashlib.blake2b("\0".join(parts).encode() + b"\0", digest_size=8)
    digest.update(body)
    return int.from_bytes(digest.digest()) >> 1


class Remembered:
    """The slots of some requests, as they were read; what is noted makes new ones."""

    def __init__(self, rows: Mapping[Place, RequestSlot], now: int) -> None:
        """`now`: epoch ms; what is older than the window is forgotten."""
        self._notes = {place: [note for note in row.notes if note.ts > now - WINDOW_MS] for place, row in rows.items()}
        self._now = now
        self._changed: set[Place] = set()

    def find(self, tenant: str, key: str) -> RequestNote | None:
        """What is known of a request."""
        wanted = device_hash(tenant, key) >> 1
        return next((note for note in self._notes.get(place_of(tenant, key), ()) if note.key == wanted), None)

    def note(self, tenant: str, key: str, body: int, counts: tuple[int, int, int]) -> None:
        """Remember a request: the digest of its body, and how many were accepted, rejected and shed."""
        place = place_of(tenant, key)
        self._notes.setdefault(place, []).append(
            RequestNote(device_hash(tenant, key) >> 1, body, self._now, *counts),
        )
        self._changed.add(place)

    def changed(self) -> Iterator[tuple[Place, RequestSlot]]:
        """The slots to write, the oldest notes dropped where there are too many."""
        for place in sorted(self._changed):
            yield place, RequestSlot(place.tenant, place.slot, tuple(self._notes[place][-NOTES:]))
