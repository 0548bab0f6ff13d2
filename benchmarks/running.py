"""A real `watchkeeper up` for benchmarks, and what can be seen of it from outside: counts, lag, memory, processors."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

import httpx
import psutil

UP = "from watchkeeper_local.cli import main; raise SystemExit(main())"
PATIENCE_S = 60.0
DRAIN_S = 180.0
OUTCOMES = ("stored", "dead", "deduplicated", "shed")
_BUCKET = re.compile(r'watchkeeper_latency_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)')


@contextlib.contextmanager
def up(folder: str, http: int, mqtt_port: int, flags: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Everything, listening. AssertionError: it has ended, or does not listen."""
    ports = ["--http-port", str(http), "--mqtt-port", str(mqtt_port)]
    command = [sys.executable, "-c", UP, "up", "--data-dir", folder, "--log-level", "error", *ports, *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
    try:
        until = time.monotonic() + PATIENCE_S
        while not _listens(mqtt_port) or not _listens(http):
            assert process.poll() is None, "`watchkeeper up` has ended"
            assert time.monotonic() < until, "`watchkeeper up` does not listen"
            time.sleep(0.05)
        time.sleep(1.0)  # the bridge connects last
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def free_ports() -> tuple[int, int]:
    """A port for HTTP, and one for MQTT whose successor is free as well."""
    while True:
        with socket.socket() as http, socket.socket() as one, socket.socket() as two:
            http.bind(("127.0.0.1", 0))
            one.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", one.getsockname()[1] + 1))
                return http.getsockname()[1], one.getsockname()[1]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One look: readings counted so far, those under way, messages that wait by stage, MB, and CPU seconds by process.

    `pss_mb` counts memory that processes share once, `rss_mb` once for each.
    """

    at: float
    counts: dict[str, int]
    in_flight: int
    lag: dict[str, int]
    anomalies: int
    stored_mb: float
    pss_mb: float
    rss_mb: float
    cpu: dict[str, float]


class Watch:
    """Looks at a running Watchkeeper every so often, in a thread."""

    def __init__(self, process: int, http: int, every_s: float = 1.0) -> None:
        self._process, self._every = psutil.Process(process), every_s
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=30)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looks: list[Look] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self.looks.append(self.look())

    def look(self) -> Look:
        """Now."""
        status = self._client.get("/api/status").raise_for_status().json()
        pss = rss = 0.0
        cpu = {}
        for name, process in self.processes().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                memory, times = process.memory_full_info(), process.cpu_times()
                pss, rss = pss + memory.pss / 1e6, rss + memory.rss / 1e6
                cpu[name] = times.user + times.system
        counts = {name: status["readings"][name] for name in ("accepted", *OUTCOMES)}
        pipeline = status["pipeline"]
        return Look(
            time.time(), counts, status["readings"]["in_flight"], pipeline["lag"], status["anomalies"],
            pipeline["stored_bytes"] / 1e6, pss, rss, cpu,
        )  # fmt: skip

    def processes(self) -> dict[str, psutil.Process]:
        """Its processes by what they do; the one that was started holds the API, the bridge and the supervisor."""
        children = sorted(self._process.children(recursive=True), key=lambda child: (child.create_time(), child.pid))
        named = {"api and bridge": self._process}
        spawned = []
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                command = " ".join(child.cmdline())
                if "spawn_main" in command:
                    spawned.append(child)
                else:
                    named["broker" if "iotcore" in command else "resource tracker"] = child
        workers = len(spawned) - 2  # after them come `outward` and `retrain`
        names = [f"worker {number}" for number in range(workers)] + ["outward", "retrain"]
        return named | dict(zip(names, spawned, strict=False))

    def latencies(self) -> dict[float, float]:
        """How many readings, since the beginning, took no longer than so many seconds."""
        text = self._client.get("/metrics").raise_for_status().text
        return {float(bound): float(count) for bound, count in _BUCKET.findall(text)}

    def drained(self, expected: int) -> tuple[Look, float]:
        """The look at which nothing is under way any more, and the seconds until then. AssertionError: it never is."""
        began = time.monotonic()
        while True:
            look = self.look()
            if look.counts["accepted"] >= expected and not look.in_flight and not sum(look.lag.values()):
                return look, time.monotonic() - began
            assert time.monotonic() - began < DRAIN_S, f"{look.in_flight} readings are still under way: {look.lag}"
            time.sleep(0.1)


def percentiles(before: dict[float, float], after: dict[float, float]) -> dict[str, float | None]:
    """p50, p95 and p99 in ms of what was stored in between, interpolated within the histogram's buckets."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = counts[max(counts)] if counts else 0.0
    found: dict[str, float | None] = {}
    for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        found[name], low, below = None, 0.0, 0.0
        for bound, count in counts.items():
            if count >= share * total and count > below:
                inside = (share * total - below) / (count - below)
                found[name] = 1000 * (low + (bound - low) * inside) if bound != float("inf") else 1000 * low
                break
            low, below = bound, count
    return found


def check_accounting(look: Look, accepted: int, deduplicated: int | None = None) -> None:
    """Stop loudly, unless every reading that was acknowledged is stored, dead, deduplicated or shed, and only once."""
    counts = look.counts
    assert counts["accepted"] == accepted, f"acknowledged {accepted}, but counted as accepted {counts['accepted']}"
    assert accepted == sum(counts[name] for name in OUTCOMES), f"the readings do not add up: {counts}"
    if deduplicated is not None:
        assert counts["deduplicated"] == deduplicated, f"sent twice {deduplicated}, found {counts['deduplicated']}"


def is_steady(waiting: Sequence[float], per_second: float) -> bool:
    """Whether the readings under way do not grow: in the last third at most a second's worth above the first third."""
    third = len(waiting) // 3
    if not third:
        return False
    return statistics.median(waiting[-third:]) <= statistics.median(waiting[:third]) + max(per_second, 1000)
