"""One process's view of the local runtime: its ports over the data folder, and what is published there."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.bundles import bundle_in_force, stored_bundle
from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.errors import KnowledgeError
from watchkeeper.pipeline import PIPELINE
from watchkeeper.published import Published
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.language_model import OpenAICompatible
from watchkeeper_adapters.receiver_settings import open_receivers
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.sqlite import SqlitePorts, open_ports

if TYPE_CHECKING:
    from watchkeeper.knowledge.bundle import Bundle
    from watchkeeper.ports import Blobs, LanguageModel
    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
CONSUMERS = {name: [stage.name for stage in PIPELINE if topic in stage.topics] for name, topic in TOPICS.items()}


def clock() -> int:
    """Wall time, epoch ms."""
    return time.time_ns() // 1_000_000


def open_node(settings: Settings, *, durable: bool) -> tuple[SqlitePorts, Published]:
    """The ports and what is published; `durable` for processes that acknowledge to devices and people."""
    ports = open_ports(
        Path(settings.data_dir),
        partitions=settings.partitions,
        shards=settings.shards,
        language_model=language_model(settings),
        receivers=open_receivers(settings.receivers, webhook_secret=settings.webhook_secret),
        durable=durable,
    )
    try:
        bundle = bundle_to_begin_with(ports.blobs, settings)
    except BaseException:
        ports.close()
        raise
    return ports, Published(ports, bundle, Budget(settings.budget, LOCAL))


def bundle_to_begin_with(blobs: Blobs, settings: Settings) -> Bundle:
    """What is in force; where nothing is yet, or it cannot be read, the folder's.

    So a worker that starts again is not stopped by a folder that somebody is editing.
    """
    version = bundle_in_force(blobs).version
    try:
        return stored_bundle(blobs, version) if version else read_bundle(settings.knowledge_base)
    except KnowledgeError as error:
        if not version:
            raise
        log.error("the bundle in force cannot be read, and the folder's is used: %s", error)
        return read_bundle(settings.knowledge_base)


def set_up_logging(settings: Settings, process: str) -> None:
    """Log lines of this process, on standard error."""
    form = f"%(asctime)s %(levelname)s {process} %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), format=form)
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLogger().level))


def language_model(settings: Settings) -> LanguageModel | None:
    """The language model that the settings name, if they name one."""
    if not settings.model_url:
        return None
    return OpenAICompatible(settings.model_url, settings.model_name, settings.model_key)
