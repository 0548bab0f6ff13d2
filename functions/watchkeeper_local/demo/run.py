"""The demo from beginning to end: up, history, a live part with faults, and a table of what became of it."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from watchkeeper.errors import Unavailable
from watchkeeper.model_in_force import Who, current_pin, promote_model
from watchkeeper_local import node
from watchkeeper_local.demo.live import Live
from watchkeeper_local.demo.past import send_past
from watchkeeper_local.demo.progress import Progress
from watchkeeper_local.demo.report import Findings, print_report
from watchkeeper_local.settings import Settings
from watchkeeper_local.status import fetch
from watchkeeper_local.up import Runtime

FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
DRAIN_S = 60.0
SETTLE_S = 3.0  # of live readings, before the host's idle past is made up from its present


def demo(seconds: int, pumps: int, seed: int) -> int:
    """Run it in a folder that is removed afterwards; answers 1 if a reading was lost, else 0."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-demo-") as folder:
        http, mqtt = _free_ports()
        settings = Settings(
            data_dir=folder,
            http_port=http,
            mqtt_port=mqtt,
            receivers=(f"file={Path(folder) / 'alerts.jsonl'}",),
            requests_per_second=0.0,
            retrain_hours=24.0,
            canary=False,  # the totals that are shown are those of the demo's devices
        )
        node.set_up_logging(settings, "demo")
        print(f"Starting Watchkeeper on this machine (HTTP {http}, MQTT {mqtt}) …", flush=True)
        with Runtime(settings) as runtime, Keeper(runtime):
            url = f"http://127.0.0.1:{http}"
            live = Live(url, f"mqtt://127.0.0.1:{mqtt}", pumps, seconds, seed)
            backfilled = send_past(url, live, lambda: _drain(url), settle_s=SETTLE_S)
            print(f"History: {backfilled} readings went through the same pipeline, as a backfill.", flush=True)
            print(_training(runtime, settings), flush=True)
            before = _latencies(runtime)
            with Progress(url, seconds) as progress:
                live.run(progress.show)
            _drain(url)
            findings = Findings.gather(url, live, _latencies(runtime) - before)
        return print_report(findings)


class Keeper:
    """Looks after the runtime in the background, as `watchkeeper up` does in its foreground."""

    def __init__(self, runtime: Runtime) -> None:
        """Not yet looking."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=runtime.watch, args=(self._stop,), name="keeper", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        """End, before the runtime is stopped."""
        self._stop.set()
        self._thread.join()


def _training(runtime: Runtime, settings: Settings) -> str:
    from watchkeeper_local.training import retrain_now

    learnt = retrain_now(runtime.ports, settings.shards)
    candidate = current_pin(runtime.ports.blobs).candidate
    promote_model(runtime.ports.blobs, candidate, Who("demo", node.clock(), "there is no day to wait for"))
    return f"Trained on it: {learnt}; there is no day to wait for, so it is promoted by hand."


def _latencies(runtime: Runtime) -> Counter[str]:
    """How many readings took how long from accepted to stored, so far."""
    counted = runtime.ports.meter.total(FIRST_DAY, LAST_DAY).get("store", {})
    return Counter({name: round(count) for name, count in counted.items() if name.startswith("latency_le_")})


def _drain(url: str) -> None:
    """Wait until all that was accepted has reached its end, and every message has been taken by all its stages."""
    until = time.monotonic() + DRAIN_S
    while True:
        status: dict[str, Any] = fetch(url, "/api/status")
        if not status["readings"]["in_flight"] and not sum(status["pipeline"]["lag"].values()):
            return
        if time.monotonic() > until:
            break
        time.sleep(0.1)
    message = (
        f"the pipeline has not finished {DRAIN_S:.0f} s after the last reading; its lag: {status['pipeline']['lag']}"
    )
    raise Unavailable(message)


def _free_ports() -> tuple[int, int]:
    """A port for HTTP, and one for MQTT whose successor is free as well."""
    while True:
        with socket.socket() as http, socket.socket() as mqtt, socket.socket() as next_to_it:
            http.bind(("127.0.0.1", 0))
            mqtt.bind(("127.0.0.1", 0))
            port = mqtt.getsockname()[1]
            try:
                next_to_it.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return http.getsockname()[1], port
