"""One process's view of the local runtime: its ports over the data folder, and what is published there."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.cost.budget import Budget
from watchkeeper.cost.prices import LOCAL
from watchkeeper.pipeline import PIPELINE
from watchkeeper.published import Published
from watchkeeper.topology import TOPICS
from watchkeeper_adapters.language_model import OpenAICompatible
from watchkeeper_adapters.receiver_settings import open_receivers
from watchkeeper_local.knowledge import read_bundle
from watchkeeper_local.sqlite import SqlitePorts, open_ports

if TYPE_CHECKING:
    from watchkeeper.ports import LanguageModel
    from watchkeeper_local.settings import Settings

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
        language_model=_language_model(settings),
        receivers=open_receivers(settings.receivers, webhook_secret=settings.webhook_secret),
        durable=durable,
    )
    return ports, Published(ports, read_bundle(settings.knowledge_base), Budget(settings.budget, LOCAL))


def set_up_logging(settings: Settings, process: str) -> None:
    """Log lines of this process, on standard error."""
    form = f"%(asctime)s %(levelname)s {process} %(name)s: %(message)s"
    logging.basicConfig(level=settings.log_level.upper(), format=form)
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLogger().level))


def _language_model(settings: Settings) -> LanguageModel | None:
    if not settings.model_url:
        return None
    return OpenAICompatible(settings.model_url, settings.model_name, settings.model_key)
