"""The dead man's switch: a thread apart from the workers, which looks whether the canary's readings come out.

What it has to say goes to `dashboard-alerts`, as of any stage. Where that is not taken in its turn, or cannot be
written at all, it tells the receivers itself: perhaps twice, never not at all.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from typing import TYPE_CHECKING

import httpx
import msgspec

from watchkeeper.errors import WatchkeeperError
from watchkeeper.ids import shard_of
from watchkeeper.pipeline import STAGES
from watchkeeper.ports import takes
from watchkeeper.records import DEFAULT_TENANT
from watchkeeper.run import Runner
from watchkeeper.series.query import query
from watchkeeper.stages.watch import silence_alert, watch
from watchkeeper.watching import CANARY, Lane, Look, Vigil
from watchkeeper_adapters.address import address_of
from watchkeeper_adapters.tls import authorities
from watchkeeper_local.checks import positions
from watchkeeper_local.node import clock

if TYPE_CHECKING:
    from watchkeeper.context import Context
    from watchkeeper.outcome import Outcome
    from watchkeeper.published import Published
    from watchkeeper.records import Alert
    from watchkeeper.watching import Verdict, WatchState
    from watchkeeper_local.canary import Canary
    from watchkeeper_local.settings import Settings
    from watchkeeper_local.sqlite import SqlitePorts

log = logging.getLogger(__name__)
LOOK_S = 5.0
SEEN_MS = 10 * 60_000  # how far back the canary's own readings are looked for
AHEAD_MS = 5 * 60_000
HEARTBEAT_MS = 60_000
PATIENCE_S = 5.0


class Watchman:
    """Looks every LOOK_S from `start` until `stop`."""

    def __init__(self, settings: Settings, ports: SqlitePorts, published: Published, canary: Canary) -> None:
        """ConfigError: the heartbeat's URL is none."""
        self._ports, self._published, self._canary, self._shards = ports, published, canary, settings.shards
        self._shard = shard_of(DEFAULT_TENANT, CANARY, settings.shards)
        self._vigil = Vigil(round(settings.silence_seconds * 1000), self._shard % settings.partitions)
        self._stage = dataclasses.replace(STAGES["watch"], tick=self._tick)
        self._runner = Runner(self._stage, None, ports, published, settings.shards, clock)
        self._heartbeat = address_of(settings.heartbeat_url, "heartbeat_url") if settings.heartbeat_url else None
        self._beat_due = 0
        self._lanes: tuple[Lane, ...] = ()
        self._verdict: Verdict
        self._tell_now: Alert | None = None  # what the last tick found that notify does not move for
        self._unsaved: Alert | None = None  # told to the receivers, and not written down yet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchman", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a look that is under way is finished."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception:
                log.exception("the watch over the pipeline failed, and looks again")
            self._stop.wait(LOOK_S)

    def _look(self) -> None:
        at, now = time.monotonic_ns() // 1_000_000, clock()
        trouble, beats = "", frozenset[int]()
        try:
            with self._ports.database.reading() as connection:
                found = positions(connection)
            self._lanes = tuple(Lane(*place, *offsets) for place, offsets in found.items())
            trouble = self._canary.send(at, self._vigil.behind(self._lanes))
            blobs, when = self._ports.blobs, (now - SEEN_MS, now + AHEAD_MS)
            series = query(blobs, self._shard, DEFAULT_TENANT, CANARY, "workers", *when, SEEN_MS)
            beats = frozenset(int(point[0]) for point in series.points)
        except WatchkeeperError as error:
            trouble = str(error)
        verdict = self._vigil.look(Look(at, now, self._lanes, self._canary.accepted, beats, trouble))
        if not self._stop.is_set():
            self._decide(verdict)
            self._send_heartbeat(verdict, at)

    def _tick(self, ctx: Context) -> Outcome:
        state: WatchState = ctx.states[0]
        told = state.told
        outcome = watch(self._verdict, ctx)
        self._tell_now = state.alert if state.told and not told else None
        return outcome

    def _decide(self, verdict: Verdict) -> None:
        self._verdict = verdict
        try:
            self._runner.tick([0])
        except WatchkeeperError as error:
            log.error("what the watch has seen cannot be written: %s", error)
            if verdict.silent and self._unsaved is None:
                self._unsaved = silence_alert(verdict, self._published.bundle.library)
                self._tell(self._unsaved)
            return
        if verdict.silent:
            log.error("the pipeline is silent: %s", verdict.silent)
        if self._tell_now and self._unsaved is None:
            self._tell(self._tell_now)
        if verdict.flows and self._unsaved is not None:
            self._tell(msgspec.structs.replace(self._unsaved, status="resolved", ts=clock(), resolved=clock()))
            self._unsaved = None

    def _tell(self, alert: Alert) -> None:
        """Straight to the receivers; the one that fails is said in the log, and does not hold up the others."""
        told = {name: one for name, one in self._ports.receivers.items() if takes(one, alert.severity)}
        for name, receiver in told.items():
            try:
                receiver.send(msgspec.structs.replace(alert, sent=clock()))
            except Exception as error:  # noqa: BLE001 - whatever a receiver's fault is
                log.error("receiver %s could not be told that the pipeline is silent: %s", name, error)

    def _send_heartbeat(self, verdict: Verdict, at: int) -> None:
        if self._heartbeat is None or not verdict.flows or at < self._beat_due:
            return
        self._beat_due = at + HEARTBEAT_MS
        try:
            outside = not self._heartbeat.is_local
            answer = httpx.get(self._heartbeat.url, timeout=PATIENCE_S, trust_env=outside, verify=authorities())
            if not answer.is_success:
                log.warning("the heartbeat is answered %d by %s", answer.status_code, self._heartbeat.shown)
        except httpx.HTTPError as error:
            log.warning("the heartbeat does not reach %s: %s", self._heartbeat.shown, type(error).__name__)
