"""Servers that tests talk to over their real protocols: started on a free port of loopback, ended by their id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENVIRONMENT = Path(__file__).parents[2] / ".venv-emulators"  # made by `make setup`
PATIENCE_S = 30.0


class NotToBeHadError(Exception):
    """A tool that a test needs is not installed here; its text says which."""


def tool(name: str) -> Path:
    """A program of the emulators' environment. NotToBeHadError: it is not there."""
    found = [ENVIRONMENT / "bin" / name, *ENVIRONMENT.glob(f"lib/python3*/site-packages/*/bin/{name}")]
    for path in found:
        if path.exists():
            return path
    raise NotToBeHadError(f"{name} is not to be had: `make setup` could not install the emulators")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Server:
    """A process that listens on `port`; `stop` ends it, `kill` as a power cut would, `pause` makes it hang."""

    def __init__(
        self, command: Sequence[str | Path], port: int, folder: Path, more: Mapping[str, str] | None = None
    ) -> None:
        """Start it, and wait until it listens."""
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._log = folder / f"{Path(command[0]).name}-{port}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, env=os.environ | dict(more or {}), stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def stop(self) -> None:
        """End it, and all that it started."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """As long as this lasts it takes connections and answers nothing."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        time.sleep(0.1)  # until all of its threads stand
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended with {self._process.returncode}: {self.log()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"it does not listen on {self.port}: {self.log()[-2000:]}")

    def _end(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


@contextlib.contextmanager
def ministack(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Server]:
    """AWS: DynamoDB, S3, SNS, SQS, Secrets Manager and others, at one address. `more` are settings of its own."""
    port = free_port()
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SFTP_ENABLED": "0", "IOT_MTLS_ENABLED": "0"}
    yield from _running(Server([tool("ministack")], port, folder, settings | dict(more or {})))


@contextlib.contextmanager
def noida(folder: Path) -> Iterator[Server]:
    """A broker of the Kafka protocol that keeps what it has in a folder."""
    port = free_port()
    data = folder / f"noida-{port}"
    options = ["--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(port), "--data-dir", str(data)]
    try:
        yield from _running(Server([tool("noida-db"), "start", *options], port, folder))
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def tansu(folder: Path) -> Iterator[Server]:
    """A broker of the Kafka protocol in memory, whose consumer groups replace a member that was killed."""
    port = free_port()
    here = f"tcp://127.0.0.1:{port}"
    options = ["--listener-url", here, "--advertised-listener-url", here, "--storage-engine", "memory://tansu/"]
    yield from _running(Server([tool("tansu"), "broker", *options], port, folder))


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()
