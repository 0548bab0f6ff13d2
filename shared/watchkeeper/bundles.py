"""Which knowledge bundle is in force, and how that changes: publish, roll back, and what a start of the runtime does.

Bundles are immutable blobs, named by their content. One small blob, CURRENT_BUNDLE, says which is in force, which was
before it, and where from; it is written by compare-and-swap, so that of two who publish at once one is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec

from watchkeeper.errors import Conflict, KnowledgeError
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.outcome import ABSENT

if TYPE_CHECKING:
    from watchkeeper.ports import Blobs

CURRENT_BUNDLE = "bundles/current"
MOVES_KEPT = 50


class Move(msgspec.Struct, frozen=True):
    """A bundle was put in force `at` this time (epoch ms; 0: not known), and how."""

    version: str
    at: int
    how: str


class InForce(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bundle in force (empty: none yet), the one before it, and the latest moves, newest last.

    `folders`: what each folder published last; `started`: the folder of the last start. Both are for
    `publish_at_start`.
    """

    version: str = ""
    previous: str = ""
    moves: tuple[Move, ...] = ()
    folders: dict[str, str] = {}
    started: str = ""

    def moved(self, version: str, how: str, now: int) -> InForce:
        """The same after `version` was put in force; unchanged if it is already."""
        if version == self.version:
            return self
        moves = (*self.moves, Move(version, now, how))[-MOVES_KEPT:]
        return msgspec.structs.replace(self, version=version, previous=self.version, moves=moves)

    def remembering(self, folder: str, version: str) -> InForce:
        """The same, knowing that `folder` has published `version`."""
        return msgspec.structs.replace(self, folders={**self.folders, folder: version})


def bundle_key(version: str) -> str:
    """Where a bundle is."""
    return f"bundles/{version}.json"


def bundle_in_force(blobs: Blobs) -> InForce:
    """Which bundle is in force, and which was before it."""
    return _held(blobs)[0]


def decode_in_force(data: bytes) -> InForce:
    """What CURRENT_BUNDLE holds. Before there was a history it was the bare version."""
    if data.startswith(b"{"):
        return msgspec.json.decode(data, type=InForce)
    return InForce(data.decode())


def bundle_versions(blobs: Blobs) -> list[str]:
    """The versions of all stored bundles."""
    names = (key.removeprefix("bundles/") for key in blobs.list("bundles/"))
    return [name.removesuffix(".json") for name in names if name.endswith(".json")]


def stored_bundle(blobs: Blobs, version: str) -> Bundle:
    """A stored bundle. KnowledgeError: it is not there, or this release finds mistakes in it."""
    key = bundle_key(version)
    blob = blobs.get_many([key]).get(key)
    if blob is None:
        known = ", ".join(bundle_versions(blobs)) or "none"
        raise KnowledgeError(f"there is no bundle {version!r}; stored are: {known}")
    bundle = Bundle.decode(blob.data)
    if bundle.version != version:
        raise KnowledgeError(f"{key} holds {bundle.version}: it was changed after it was published")
    return bundle


def publish_bundle(
    blobs: Blobs, bundle: Bundle, *, folder: str = "", now: int = 0, expect: str | None = None
) -> InForce:
    """Put a valid bundle in force; `folder`: where it was read, `expect`: the version that it is to replace.

    Conflict: somebody else published at the same moment, or another one than `expect` is in force. KnowledgeError: it
    is not what its files say. Then nothing has changed.
    """
    before, version = _held(blobs)
    _check_expected(bundle.version, before, expect)
    after = before.moved(bundle.version, "published", now)
    after = after.remembering(folder, bundle.version) if folder else after
    return _put_in_force(blobs, bundle, before, after, version)


def publish_at_start(blobs: Blobs, bundle: Bundle, folder: str, *, now: int = 0) -> InForce:
    """Put a folder's bundle in force when the runtime starts, unless that would undo what was done since.

    A folder that has not changed since it was published, and that the last start was with too, has nothing new to
    say: what was rolled back or published beside it stays. Errors are those of `publish_bundle`.
    """
    before, version = _held(blobs)
    nothing_new = before.started == folder and before.folders.get(folder) == bundle.version
    after = before if nothing_new and before.version else before.moved(bundle.version, "published at start", now)
    after = msgspec.structs.replace(after.remembering(folder, bundle.version), started=folder)
    return _put_in_force(blobs, bundle, before, after, version)


def roll_back_bundle(blobs: Blobs, to: str = "", *, now: int = 0, expect: str | None = None) -> InForce:
    """Put the bundle before the present one, or the stored one `to`, in force, in place of `expect`.

    KnowledgeError: there is none, or it is no longer valid. Conflict: as for `publish_bundle`.
    """
    before, version = _held(blobs)
    to = to or before.previous
    if not to:
        raise KnowledgeError("there is no earlier bundle to roll back to")
    _check_expected(to, before, expect)
    bundle = stored_bundle(blobs, to)
    return _put_in_force(blobs, bundle, before, before.moved(to, "rolled back", now), version)


def _held(blobs: Blobs) -> tuple[InForce, str | None]:
    held = blobs.get_many([CURRENT_BUNDLE]).get(CURRENT_BUNDLE)
    if held is None:
        return InForce(), ABSENT
    try:
        return decode_in_force(held.data), held.version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return InForce(), held.version  # rubbish: the next to publish mends it


def _check_expected(wanted: str, before: InForce, expect: str | None) -> None:
    if expect is not None and before.version != expect:
        message = (
            f"{wanted} was not put in force: it was to replace {expect}, and {before.version or 'none'} is in force; "
            "look at it, and publish again if yours is to replace it"
        )
        raise Conflict(message)


def _put_in_force(blobs: Blobs, bundle: Bundle, before: InForce, after: InForce, version: str | None) -> InForce:
    if after == before:
        return before
    data = bundle.encode()
    if Bundle.decode(data).version != bundle.version:  # made by hand, not by `from_files`
        raise KnowledgeError(f"bundle {bundle.version} does not hold what its version says")
    blobs.put(bundle_key(bundle.version), data)
    try:
        blobs.put(CURRENT_BUNDLE, msgspec.json.encode(after), version)
    except Conflict as error:
        _lost(blobs, bundle, error)
    return after


def _lost(blobs: Blobs, bundle: Bundle, error: Conflict) -> NoReturn:
    winner = bundle_in_force(blobs).version or "none"
    message = (
        f"{bundle.version} was not put in force: somebody else published at the same moment, and {winner} is in force "
        "now; look at it, and publish again if yours is to replace it"
    )
    raise Conflict(message) from error
