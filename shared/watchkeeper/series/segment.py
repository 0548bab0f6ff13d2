"""A segment: readings as bytes that never change, readable device by device and column by column.

Layout: magic with version, length and CRC-32 of the header; the header (MessagePack): sections, sets of tags, sets of
rule ids, and the segments before it; then the columns, section by section. Rows lie together by device, in the order
of arrival or, after a merge, of time and then arrival.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from watchkeeper.errors import StateError
from watchkeeper.migration import Upgrades, migrated
from watchkeeper.series.section import DeviceKey, Effort, Part, Section, SectionWire, damaged, pack_section

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from watchkeeper.packs import Ints

_HEAD = struct.Struct("<4sII")
_MAGIC = b"WKS"
VERSION = 1
UPGRADES: Upgrades = {}
"""What leads from an earlier version's header, as a list, to the next one's."""


class SegmentRef(msgspec.Struct, frozen=True, array_like=True):
    """A segment by name, and what must be known to leave it alone: rows, and first and last event time (epoch ms)."""

    level: int
    sequence: int
    digest: str
    rows: int
    first: int
    last: int

    def key(self, shard: int) -> str:
        """Where it is; two writers with different content never meet there."""
        return f"segments/{shard:05d}/{self.level}/{self.sequence:010d}-{self.digest}"

    def overlaps(self, start: int, end: int) -> bool:
        """May it hold something in [start, end)?"""
        return self.first < end and start <= self.last


class _Header(msgspec.Struct, array_like=True):
    sections: list[SectionWire]
    tagsets: list[dict[str, str]]
    rulesets: list[tuple[str, ...]]
    before: list[SegmentRef]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Header)


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A segment as bytes, and by name."""

    ref: SegmentRef
    data: bytes


def write(
    sections: Sequence[Section],
    tagsets: Sequence[dict[str, str]],
    rulesets: Sequence[tuple[str, ...]],
    *,
    level: int,
    sequence: int,
    before: Sequence[SegmentRef] = (),
    effort: Effort = Effort.RAW,
) -> Written:
    """A segment of at least one row, or of no rows but the names of the segments `before` it: a page."""
    tags, used_tags = _used([section.tags for section in sections], tagsets)
    rules, used_rules = _used([section.rules for section in sections], rulesets)
    packed = [pack_section(*each, effort) for each in zip(sections, tags, rules, strict=True)]
    header = _encoder.encode(_Header([wire for wire, _ in packed], used_tags, used_rules, list(before)))
    # The header has the checksums of all columns in it, so its digest names all of the content.
    digest = hashlib.blake2b(header, digest_size=8).hexdigest()
    rows = sum(len(section.ts) for section in sections) or sum(ref.rows for ref in before)
    first = min([int(section.ts.min()) for section in sections] or [ref.first for ref in before])
    last = max([int(section.ts.max()) for section in sections] or [ref.last for ref in before])
    data = b"".join(
        (_HEAD.pack(_MAGIC + bytes([VERSION]), len(header), zlib.crc32(header)), header, *(body for _, body in packed))
    )
    return Written(SegmentRef(level, sequence, digest, rows, first, last), data)


class Segment:
    """A segment that is being read.

    `before` are the device's older segments, oldest first, as they were when this one was written; `tagsets` and
    `rulesets` are what the sections' `tags` and `rules` point into.
    """

    def __init__(self, data: bytes, where: str = "segment") -> None:
        """Read the header. StateError: not a segment of this or an earlier version, or damaged."""
        self._where = where
        view = memoryview(data)
        try:
            magic, size, check = _HEAD.unpack_from(view)
            packed = view[_HEAD.size : _HEAD.size + size]
            if magic[:3] != _MAGIC or zlib.crc32(packed) != check:
                raise damaged(where, "magic or checksum")
            header = _decoder.decode(_of_this_version(packed, magic[3], where))
        except (struct.error, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise damaged(where, str(error)) from error
        self._sections: list[tuple[SectionWire, memoryview]] = []
        rest = view[_HEAD.size + size :]
        for wire in header.sections:
            length = sum(wire.sizes)
            if not wire.adds_up() or length > len(rest):
                raise damaged(where, "a section that does not add up")
            self._sections.append((wire, rest[:length]))
            rest = rest[length:]
        if rest:
            raise damaged(where, f"{len(rest)} bytes too many")
        self.before, self.tagsets, self.rulesets = header.before, header.tagsets, header.rulesets

    def sections(self) -> Iterator[Section]:
        """Everything. StateError: damaged."""
        for wire, body in self._sections:
            yield Part(wire, body, self._where, 0, len(wire.devices)).section()

    def find(self, device: DeviceKey) -> Part | None:
        """The rows of one device; no other device's are unpacked. StateError: damaged."""
        for wire, body in self._sections:
            if device in wire.devices:
                place = wire.devices.index(device)
                return Part(wire, body, self._where, place, place + 1)
        return None


def _of_this_version(header: memoryview, found: int, where: str) -> memoryview | bytes:
    if found == VERSION:
        return header
    content = migrated(msgspec.msgpack.decode(header), found, VERSION, UPGRADES, f"{where}: a segment", StateError)
    return _encoder.encode(content)


Item = TypeVar("Item")


def _used(columns: Sequence[Ints], items: Sequence[Item]) -> tuple[Sequence[Ints], list[Item]]:
    """The columns, and of the items they point into only those that they point to."""
    if not items or not columns:
        return columns, []
    used = np.unique(np.concatenate([column[column >= 0] for column in columns])).tolist()
    places = np.full(len(items) + 1, -1)  # the last one stands for −1, none
    places[used] = np.arange(len(used))
    return [places[column] for column in columns], [items[index] for index in used]
