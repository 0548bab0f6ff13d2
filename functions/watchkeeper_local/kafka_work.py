"""`watchkeeper work --kafka`: the stages against a Kafka cluster, in as many processes as its partitions allow.

A process takes the partitions that the consumer group gives it. Its states, rows and counts are in the stores: the
data folder's database, for processes of one machine, or what `--stores` names, for those of many.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.errors import ConfigError, Conflict, Unavailable
from watchkeeper.outcome import ABSENT
from watchkeeper.ports import Ports
from watchkeeper.published import Published
from watchkeeper.worker import Worker
from watchkeeper_adapters.claim_check import ClaimChecked
from watchkeeper_adapters.kafka.connection import Connection
from watchkeeper_adapters.kafka.membership import Membership
from watchkeeper_adapters.kafka.stream import KafkaStream
from watchkeeper_adapters.kafka.topics import make_topics
from watchkeeper_adapters.knowledge_files import publish_in_company
from watchkeeper_adapters.receiver_settings import open_receivers
from watchkeeper_local.knowledge import folder_name, read_bundle
from watchkeeper_local.lifeline import Child
from watchkeeper_local.node import bundle_to_begin_with, clock, language_model, set_up_logging
from watchkeeper_local.sqlite import open_ports
from watchkeeper_local.work import DECIDING, DECIDING_TIMERS, PACE_S, TELLING, WRITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchkeeper.ports import Blobs, Meter, Tables
    from watchkeeper.topology import Stage
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
GROUP = "watchkeeper-workers"
STORES = "watchkeeper.stores"  # the group of entry points in which packages offer stores
LAYOUT = "layout"  # the blob that says what devices and streams are divided into
LOOK_S = 0.5


class Layout(msgspec.Struct, frozen=True):
    """What must never change silently."""

    shards: int
    partitions: int


class Stores(NamedTuple):
    """Where everything is but the stream."""

    tables: Tables
    blobs: Blobs
    meter: Meter


class _Part(NamedTuple):
    """What a thread of a process runs: the lanes of some stages, and the timers of some."""

    name: str
    lanes: tuple[Stage, ...]
    timers: tuple[Stage, ...]


# Apart, as in work.py: a webhook that hangs or a slow language model must not hold up the readings.
PARTS = (
    _Part("deciding", DECIDING, DECIDING_TIMERS),
    _Part("telling", TELLING, TELLING),
    _Part("writing", (), WRITING),
)


def connection_of(settings: Settings) -> Connection:
    """How the settings say that the cluster is reached."""
    security = "scram" if settings.kafka_user else "tls" if settings.kafka_tls or settings.kafka_ca else "plaintext"
    return Connection(
        brokers=settings.kafka,
        security=security,  # type: ignore[arg-type] # one of its words
        user=settings.kafka_user,
        password=settings.kafka_password,
        ca=settings.kafka_ca,
    )


def open_stores(settings: Settings) -> Stores:
    """The stores. ConfigError: they are of a kind that nobody offers, or were made with other numbers."""
    if not settings.stores:
        ports = open_ports(
            Path(settings.data_dir), partitions=settings.partitions, shards=settings.shards, durable=False
        )
        return Stores(ports.tables, ports.blobs, ports.meter)
    kind, _, what = settings.stores.partition(":")
    offered = {point.name: point for point in entry_points(group=STORES)}
    if kind not in offered:
        raise ConfigError(f"stores {kind!r}: there are {', '.join(sorted(offered)) or 'none'}; write KIND:NAME")
    return Stores(*offered[kind].load()(what))


def run_workers(settings: Settings, stop: threading.Event) -> None:
    """Make what is missing, then keep the processes running until `stop`. ConfigError, Unavailable: it cannot begin."""
    connection = connection_of(settings)
    made = make_topics(connection, settings.partitions, prefix=settings.kafka_prefix)
    if made:
        log.warning("topics made: %s", ", ".join(sorted(made)))
    stores = open_stores(settings)
    keep_layout(stores.blobs, Layout(settings.shards, settings.partitions))
    folder = settings.knowledge_base
    publish_in_company(stores.blobs, read_bundle(folder), folder_name(folder), now=clock())

    def start(number: int) -> Child:
        return Child(f"worker-{number}", work_on_kafka, settings, number)

    children = {number: start(number) for number in range(settings.workers)}
    try:
        while not stop.wait(LOOK_S):
            for number, child in children.items():
                if child.exit_code is not None:
                    log.error("%s ended with code %s; it is started again", child.name, child.exit_code)
                    children[number] = start(number)
    finally:
        for child in children.values():
            child.stop()


def keep_layout(blobs: Blobs, layout: Layout) -> None:
    """Remember the layout, or hold it to what is remembered. ConfigError: it is another one."""
    held = blobs.get_many([LAYOUT]).get(LAYOUT)
    if held is None:
        with contextlib.suppress(Conflict):
            blobs.put(LAYOUT, msgspec.json.encode(layout), ABSENT)
        held = blobs.get_many([LAYOUT])[LAYOUT]
    before = msgspec.json.decode(held.data, type=Layout)
    if before != layout:
        raise ConfigError(
            f"the stores were made with {before.shards} shards and {before.partitions} partitions; "
            f"{layout.shards} and {layout.partitions} were given, and they never change"
        )


def work_on_kafka(settings: Settings, number: int, stop: threading.Event) -> None:
    """The process: a member of the group, and a worker for each part, made anew whenever its partitions change."""
    set_up_logging(settings, f"worker-{number}")
    connection = connection_of(settings)
    member = f"{socket.gethostname()}-{os.path.realpath(settings.data_dir)}-{number}" if settings.kafka_static else ""
    group = settings.kafka_prefix + GROUP
    membership = Membership(connection, group, prefix=settings.kafka_prefix, member=member)
    failed = threading.Event()

    def run(part: _Part) -> None:
        try:
            _work(part, lambda: _open(settings, connection), membership, settings.shards, stop)
        except Exception:
            log.exception("%s failed; the process starts again", part.name)
            failed.set()
            stop.set()

    threads = [threading.Thread(target=run, args=(part,), name=part.name, daemon=True) for part in PARTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    membership.close()
    if failed.is_set():
        raise SystemExit(1)


def _open(settings: Settings, connection: Connection) -> tuple[Ports, Published]:
    """Ports of one thread's own: none waits for another's call."""
    stores = open_stores(settings)
    stream = KafkaStream(connection, prefix=settings.kafka_prefix, partitions=settings.partitions)
    ports = Ports(
        ClaimChecked(stream, stores.blobs),
        *stores,
        contextlib.nullcontext,
        language_model(settings),
        open_receivers(settings.receivers, webhook_secret=settings.webhook_secret),
    )
    bundle = bundle_to_begin_with(stores.blobs, settings)
    return ports, Published(ports, bundle, Budget(settings.budget, LOCAL))


def _work(
    part: _Part,
    open_all: Callable[[], tuple[Ports, Published]],
    membership: Membership,
    shards: int,
    stop: threading.Event,
) -> None:
    ports, published = open_all()
    worker, owned, generation, due = None, membership.owned, -1, 0.0
    while not stop.wait(max(0.0, due - time.monotonic())):
        due = time.monotonic() + PACE_S
        if generation != membership.generation:
            generation, owned, worker = membership.generation, membership.owned, None
        if worker is None and owned:
            worker = _worker(part, ports, published, shards, owned)
        if worker is not None:
            worker.step()
            due = 0.0 if worker.behind else due


def _worker(part: _Part, ports: Ports, published: Published, shards: int, owned: frozenset[int]) -> Worker | None:
    """Who takes these partitions on; None: the cluster or the stores are away, and it is tried again."""
    try:
        return Worker(
            ports,
            published,
            shards=shards,
            clock=clock,
            owns=lambda partition: partition in owned,
            lanes=part.lanes,
            timers=part.timers,
        )
    except Unavailable as error:
        log.error("%s cannot begin yet: %s", part.name, error)
        return None
