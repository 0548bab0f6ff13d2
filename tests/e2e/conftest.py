"""A real `watchkeeper up`: its own process, free loopback ports, a data folder of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.ports import free_ports

START_S = 40.0


class Up:
    """One data folder and its ports; started, killed and started again as a test wants."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder, self.flags = folder, flags
        self.http_port, self.mqtt_port = free_ports()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.mqtt_url = f"mqtt://127.0.0.1:{self.mqtt_port}"
        self.alerts = folder / "alerts.jsonl"
        self.process: subprocess.Popen[bytes] | None = None
        # One for all, as each would read the certificates anew; a connection for each call, as servers are killed here.
        self.http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))

    def start(self) -> "Up":
        """Start it, and wait until the API answers."""
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "watchkeeper_local.cli", "up"]
        options = {
            "--data-dir": self.folder / "data",
            "--http-port": self.http_port,
            "--mqtt-port": self.mqtt_port,
            "--receivers": f"file={self.alerts}",
        }
        flags = [str(part) for option in options.items() for part in option]
        if "--canary" not in self.flags:
            flags.append("--no-canary")  # what a test counts is what it has sent
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *flags, *self.flags], stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if "Ctrl-C" in self.log() and self.http.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            time.sleep(0.1)
        pytest.fail(f"`watchkeeper up` does not answer:\n{self.log()}")

    def kill(self) -> None:
        """`kill -9`, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; answers its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(30)

    def log(self) -> str:
        """What it has said, over all its lives."""
        file = self.folder / "up.log"
        return file.read_text() if file.exists() else ""

    def get(self, path: str):
        """The JSON of an API path."""
        answer = self.http.get(f"{self.url}{path}", timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def drained(self, seconds: float = 60.0):
        """Wait until all that was accepted has reached its end; answers the status."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = self.get("/api/status")
            if not status["readings"]["in_flight"] and not sum(status["pipeline"]["lag"].values()):
                return status
            time.sleep(0.1)
        pytest.fail(f"not drained: {status}\n{self.log()}")

    def close(self) -> None:
        """End it in any case."""
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
            self.process.kill()
            self.process.wait()


@pytest.fixture
def up(tmp_path):
    """A running one, with the settings a new user has."""
    runtime = Up(tmp_path / "wk")
    yield runtime.start()
    runtime.close()


@pytest.fixture
def up_with(tmp_path):
    """Makes running ones with flags of one's own."""
    made = []

    def make(*flags: str, start: bool = True) -> Up:
        runtime = Up(tmp_path / f"wk-{len(made)}", *flags)
        made.append(runtime)
        return runtime.start() if start else runtime

    yield make
    for runtime in made:
        runtime.close()


def running(pid: int) -> bool:
    """Is there such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
