"""What a process of a function holds for as long as it lives, built once and when needed, whatever the cloud."""

from __future__ import annotations

import abc
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchkeeper.bundles import bundle_in_force, stored_bundle
from watchkeeper.cost.budget import Budget
from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.pipeline import MAY_WAIT, STAGES
from watchkeeper.published import Published
from watchkeeper.records import Alert
from watchkeeper.run import Runner
from watchkeeper.topology import ALERTS
from watchkeeper_adapters.knowledge_files import publish_in_company, read_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watchkeeper.cost.prices import PriceBook
    from watchkeeper.outcome import Outcome
    from watchkeeper.ports import Blobs, LanguageModel, Ports, Receiver
    from watchkeeper.topology import Topic
    from watchkeeper_adapters.cloud.pushes import BoundedPushes


def wall_clock() -> int:
    """Wall time, epoch ms."""
    return time.time_ns() // 1_000_000


class CloudContainer(abc.ABC):
    """Everything by which a function reaches the world. `ports` may be given, and so may the `clock`: in tests.

    `shards`, `budget` (US dollars a month, 0: none) and `metered` (what the meter's numbers cost) are the deployment's;
    `waits_ms`: for how long stages are stopped at a cutoff, at most; 0: this cloud stops none.
    `reserve_ms` is the time without which nothing more is begun. `knowledge` is the folder that was deployed with the
    function.
    """

    shadow_ms = 0  # of data that must come after a model was learnt before it may be promoted

    def __init__(
        self,
        ports: Ports | None,
        clock: Callable[[], int],
        *,
        shards: int,
        reserve_ms: int,
        budget: float,
        metered: PriceBook,
        knowledge: Path,
        waits_ms: int = 0,
    ) -> None:
        """Nothing is opened yet."""
        self.clock, self.shards, self.reserve_ms = clock, shards, reserve_ms
        self._ports, self._budget, self._knowledge = ports, _budget(budget, metered, waits_ms), knowledge
        self._runners: dict[tuple[str, str], Runner] = {}

    @abc.abstractmethod
    def open_ports(self) -> Ports:
        """What the stages work on in this cloud. ConfigError: the settings name no such thing."""

    @abc.abstractmethod
    def open_pushes(self) -> BoundedPushes | None:
        """By which who listens by WebSocket is told of alerts; None: nobody is, by this function."""

    @functools.cached_property
    def ports(self) -> Ports:
        """What the stages work on."""
        return self._ports if self._ports is not None else self.open_ports()

    @functools.cached_property
    def pushes(self) -> BoundedPushes | None:
        """Who tells listeners, if anybody does."""
        return self.open_pushes()

    @functools.cached_property
    def published(self) -> Published:
        """The knowledge in force, and all else that is published."""
        return Published(self.ports, self._bundle(self.ports.blobs), self._budget)

    def runner(self, stage: str, topic: Topic | None) -> Runner:
        """Who runs a stage for a topic; it keeps its states from one invocation to the next."""
        where = (stage, topic.name if topic else "-")
        if where not in self._runners:
            made = Runner(STAGES[stage], topic, self.ports, self.published, self.shards, self.clock, tell=self.tell)
            self._runners[where] = made
        return self._runners[where]

    def tell(self, outcome: Outcome) -> None:
        """New and changed alerts, once they are committed, go to who listens by WebSocket."""
        alerts = [put.record for put in outcome.puts if put.table is ALERTS and isinstance(put.record, Alert)]
        self.note(alerts)
        if alerts and self.pushes is not None:
            outcome.counts += self.pushes.tell(alerts)

    def note(self, alerts: Sequence[Alert]) -> None:  # noqa: B027 - most clouds need no note
        """Say of new and changed alerts what a cloud's own services are to find in the logs."""

    def publish_knowledge(self) -> str:
        """Put the deployed knowledge base in force, unless it has not changed since it was; answers what is."""
        bundle = Bundle.from_files(read_files(self._knowledge))
        return publish_in_company(self.ports.blobs, bundle, "deployed", now=self.clock()).version

    def _bundle(self, blobs: Blobs) -> Bundle:
        version = bundle_in_force(blobs).version or self.publish_knowledge()
        return stored_bundle(blobs, version)


def _budget(monthly_usd: float, metered: PriceBook, waits_ms: int) -> Budget:
    return Budget(monthly_usd, metered, MAY_WAIT if waits_ms else (), waits_ms)


def language_model_of(
    url: str,
    name: str,
    secret: Mapping[str, str],
    api_version: str = "",
    token: Callable[[], str] | None = None,
) -> LanguageModel | None:
    """The model at `url`, with the `model_key` of a secret or by a `token`; without a URL there is none."""
    if not url:
        return None
    from watchkeeper_adapters.language_model import OpenAICompatible

    return OpenAICompatible(url, name, token or secret.get("model_key", ""), api_version=api_version)


def receivers_of(secret: Mapping[str, str]) -> Mapping[str, Receiver]:
    """What a secret's `receivers` names, separated by commas; `webhook_secret` signs what goes to webhooks."""
    specs = [spec.strip() for spec in secret.get("receivers", "").split(",") if spec.strip()]
    if not specs:
        return {}
    from watchkeeper_adapters.receiver_settings import open_receivers

    return open_receivers(specs, webhook_secret=secret.get("webhook_secret", ""))
