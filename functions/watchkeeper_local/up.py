"""`watchkeeper up`: broker, bridge, API and workers on one machine, stopped in the opposite order of their start."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from watchkeeper.bundles import publish_at_start
from watchkeeper.dead_letters import OPERATORS
from watchkeeper.topology import DEAD_LETTER
from watchkeeper_local.bridge import Bridge
from watchkeeper_local.broker import start_broker
from watchkeeper_local.canary import Canary
from watchkeeper_local.knowledge import folder_name, read_bundle
from watchkeeper_local.lifeline import Child
from watchkeeper_local.lock import only_one
from watchkeeper_local.node import CONSUMERS, clock, open_node
from watchkeeper_local.pressure import Pressure
from watchkeeper_local.serve import ApiServer, backend_of, listen
from watchkeeper_local.training import keep_training
from watchkeeper_local.watched_folder import Watcher, watch_folder
from watchkeeper_local.watchman import Watchman
from watchkeeper_local.work import reach_out, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from iotcore import Broker

    from watchkeeper_local.settings import Settings

log = logging.getLogger(__name__)
LOOK_S = 0.5
PRUNE_S = 10.0
KEEP = 200  # messages of each partition kept after all have taken them, for a person who looks


class Runtime:
    """Everything that runs. Use as a context; `watch` keeps it running."""

    def __init__(self, settings: Settings) -> None:
        """Nothing runs yet."""
        self.settings = settings
        self._exits = ExitStack()
        self._children: dict[str, tuple[Child, Callable[[], Child]]] = {}
        self._broker: Broker | None = None
        self._since_prune = 0.0

    def __enter__(self) -> Self:
        """Start all. ConfigError, KnowledgeError: something cannot be; what had been started is stopped again."""
        with ExitStack() as exits:
            settings = self.settings
            exits.enter_context(only_one(Path(settings.data_dir)))
            listener = exits.enter_context(listen(settings))  # first: a port that is taken is to be told at once
            self.ports, self.published = open_node(settings, durable=True)
            exits.callback(self.ports.close)
            self._publish()
            if not settings.mqtt_broker:
                self._broker = start_broker(settings)
                exits.callback(self._stop_broker)
            for number in range(min(settings.workers, settings.partitions)):
                self._start(f"worker-{number}", lambda number=number: Child(f"worker-{number}", work, settings, number))  # type: ignore[misc]
            self._start("outward", lambda: Child("outward", reach_out, settings))
            if settings.retrain_hours:
                self._start("retrain", lambda: Child("retrain", keep_training, settings))
            if settings.watch_folder:
                Watcher.prepare(Path(settings.watch_folder))
                self._start("watch-folder", lambda: Child("watch-folder", watch_folder, settings))
            exits.callback(self._stop_children)
            key = secrets.token_urlsafe() if settings.api_keys else ""
            backend = backend_of(settings, self.ports, self.published, self._running, key)
            self.api = ApiServer(settings, backend, listener)
            self.api.start()
            exits.callback(self.api.stop)
            self.bridge = Bridge(
                _broker_url(settings),
                self.ports,
                shards=settings.shards,
                ca_file=settings.mqtt_ca,
                lag=Pressure(self.ports).raw if settings.mqtt_broker else None,
                most_lag=settings.mqtt_lag,
                device_rate=settings.mqtt_device_rate,
            )
            self.bridge.start()
            exits.callback(self.bridge.stop)
            exits.callback(self._stop_broker)  # before the bridge, or what it acknowledges meanwhile would be lost
            exits.callback(self.bridge.expect_the_end)
            if settings.canary:
                canary = Canary(settings, self.ports, self._running, backend.refusals, key)
                watchman = Watchman(settings, self.ports, self.published, canary)
                watchman.start()
                exits.callback(watchman.stop)  # first of all: an orderly stop is no silence
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        """Stop taking, then finish, then stop all."""
        self._exits.close()

    def watch(self, stop: threading.Event) -> None:
        """Until `stop`: start again what has ended, delete messages that all have taken and rows that have ended."""
        while not stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """One look at all parts."""
        for name, (child, start) in list(self._children.items()):
            if child.exit_code is not None:
                log.error("%s ended with code %s; it is started again", name, child.exit_code)
                self._children[name] = (start(), start)
        if self._broker is not None and not self._broker.is_running:
            log.error("the MQTT broker ended; it is started again")
            self._broker = start_broker(self.settings)
        self._since_prune += LOOK_S
        if self._since_prune >= PRUNE_S:
            self._since_prune = 0.0
            taking = CONSUMERS | {DEAD_LETTER.name: [OPERATORS]}
            self.ports.prune({topic: groups for topic, groups in taking.items() if groups}, KEEP)
            self.ports.end_rows(time.time())

    def _publish(self) -> None:
        """Put the folder's bundle in force, unless it has not changed and another one was put in force since."""
        folder = self.settings.knowledge_base
        bundle = read_bundle(folder)
        in_force = publish_at_start(self.ports.blobs, bundle, folder_name(folder), now=clock()).version
        if in_force != bundle.version:
            message = (
                "bundle %s stays in force: the knowledge base %s (%s) has not changed since it was published; "
                "`watchkeeper bundle publish` puts it in force again"
            )
            log.warning(message, in_force, folder or "that comes with Watchkeeper", bundle.version)
        self.published.refresh(clock())

    def _start(self, name: str, start: Callable[[], Child]) -> None:
        self._children[name] = (start(), start)

    def _running(self) -> int:
        return sum(name.startswith("worker") and child.exit_code is None for name, (child, _) in self._children.items())

    def _stop_broker(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def _stop_children(self) -> None:
        for child, _ in self._children.values():
            child.stop()


def _broker_url(settings: Settings) -> str:
    if settings.mqtt_broker:
        return settings.mqtt_broker
    scheme = "mqtts" if settings.mqtt_certificate else "mqtt"
    who = f"{quote(settings.mqtt_user, '')}:{quote(settings.mqtt_password, '')}@" if settings.mqtt_user else ""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - it is compared with
    return f"{scheme}://{who}{host}:{settings.mqtt_port}"
