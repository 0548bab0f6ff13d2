"""`watchkeeper bundle`: which knowledge is in force in a data folder, what came before it, and how to change it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.bundles import bundle_in_force, bundle_versions, publish_bundle, roll_back_bundle, stored_bundle
from watchkeeper.errors import ConfigError, KnowledgeError
from watchkeeper.knowledge.difference import differences
from watchkeeper_local.knowledge import folder_name, read_bundle
from watchkeeper_local.node import clock
from watchkeeper_local.sqlite import open_ports
from watchkeeper_local.sqlite.ports import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Blobs
    from watchkeeper_local.settings import Settings


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Blobs]:
    """The blobs of the data folder. ConfigError: there is none."""
    if not (Path(settings.data_dir) / FILE_NAME).exists():
        raise ConfigError(f"{settings.data_dir}: no Watchkeeper has kept data there; name its folder with --data-dir")
    ports = open_ports(Path(settings.data_dir), partitions=settings.partitions, shards=settings.shards)
    try:
        yield ports.blobs
    finally:
        ports.close()


def show_list(blobs: Blobs) -> int:
    """The moves, newest first, then what is stored besides."""
    state = bundle_in_force(blobs)
    if not state.version:
        print("no bundle is in force yet; `watchkeeper up` publishes one")
    for place, move in enumerate(reversed(state.moves)):
        at = datetime.fromtimestamp(move.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if move.at else "-"
        print(f"{move.version}  {at:<19}  {move.how}{'' if place else ', in force'}")
    named = {move.version for move in state.moves}
    if state.version and state.version not in named:
        print(f"{state.version}  in force")
    for version in bundle_versions(blobs):
        if version not in {*named, state.version}:
            print(f"{version}  stored")
    return 0


def show(blobs: Blobs, version: str) -> int:
    """What a bundle holds. KnowledgeError: there is no such bundle."""
    bundle = stored_bundle(blobs, version or _in_force(blobs))
    print(f"{bundle.version}: {contents(bundle)}")
    for rule in bundle.rules.rules:
        print(f"  rule {rule.id}  ({rule.applies_to}, {rule.kind}, {rule.severity})")
    for file in bundle.files:
        print(f"  file {file}")
    return 0


def show_diff(blobs: Blobs, before: str, after: str) -> int:
    """What differs between two bundles, each a stored version or a folder. KnowledgeError, ConfigError: no such one."""
    lines = differences(_named(blobs, before), _named(blobs, after))
    print("\n".join(lines) if lines else "they are the same")
    return 0


def publish(blobs: Blobs, folder: str) -> int:
    """Put a folder's bundle in force. KnowledgeError: it has mistakes; Conflict: somebody published at this moment."""
    bundle = read_bundle(folder)
    before = bundle_in_force(blobs).version
    publish_bundle(blobs, bundle, folder=folder_name(folder), now=clock())
    return _moved(blobs, before, bundle)


def roll_back(blobs: Blobs, version: str) -> int:
    """Put an earlier bundle in force. KnowledgeError: there is none; Conflict: somebody published at this moment."""
    before = bundle_in_force(blobs).version
    after = roll_back_bundle(blobs, version, now=clock())
    return _moved(blobs, before, stored_bundle(blobs, after.version))


def contents(bundle: Bundle) -> str:
    """How much is in a bundle, in words."""
    counts = {
        "class of devices": len(bundle.catalogue.classes),
        "rule": len(bundle.rules.rules),
        "runbook": len(bundle.library.runbooks),
    }
    plural = {"class of devices": "classes of devices"}
    return ", ".join(f"{n} {name if n == 1 else plural.get(name, f'{name}s')}" for name, n in counts.items())


def _moved(blobs: Blobs, before: str, after: Bundle) -> int:
    if before == after.version:
        print(f"{after.version} is in force already")
        return 0
    print(f"{after.version} is in force: {contents(after)}. Workers take it up within seconds.")
    with contextlib.suppress(KnowledgeError):  # what was in force cannot be read, so there is nothing to compare with
        if before:
            print("\n".join(differences(stored_bundle(blobs, before), after)))
    return 0


def _in_force(blobs: Blobs) -> str:
    version = bundle_in_force(blobs).version
    if not version:
        raise KnowledgeError("no bundle is in force yet; `watchkeeper up` publishes one")
    return version


def _named(blobs: Blobs, name: str) -> Bundle:
    return read_bundle(name) if Path(name).is_dir() else stored_bundle(blobs, name)
