"""Servers that tests talk to over their real protocols: started on a free port of loopback, ended by their id."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.emulators.kafka_patience import Patience
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENVIRONMENT = Path(__file__).parents[2] / ".venv-emulators"  # made by `make setup`
NODE = Path(__file__).parent / "node" / "node_modules" / ".bin"  # also made by it, where npm is to be had
PATIENCE_S = 30.0
POLICY = "tests"  # of the Event Hubs stand-in
AZURE_ACCOUNT = ("watchkeeper", base64.b64encode(secrets.token_bytes(64)).decode())  # a name and its key


class NotToBeHadError(Exception):
    """A tool that a test needs is not installed here; its text says which."""


def tool(name: str) -> Path:
    """A program of the emulators' environments. NotToBeHadError: it is not there."""
    found = [ENVIRONMENT / "bin" / name, NODE / name, *ENVIRONMENT.glob(f"lib/python3*/site-packages/*/bin/{name}")]
    for path in found:
        if path.exists():
            return path
    raise NotToBeHadError(f"{name} is not to be had: `make setup` could not install the emulators")


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
    """A broker of the Kafka protocol that keeps what it has in a folder, behind what makes empty answers wait."""
    port, behind = free_port(), free_port()
    data = folder / f"noida-{port}"
    options = ["--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(behind), "--data-dir", str(data)]
    try:
        server = Server([tool("noida-db"), "start", *options], behind, folder)
        server.port, server.address = port, f"127.0.0.1:{port}"
        with contextlib.closing(Patience(port, behind)):
            yield from _running(server)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def tansu(folder: Path) -> Iterator[Server]:
    """A broker of the Kafka protocol in memory, whose consumer groups replace a member that was killed."""
    port = free_port()
    here = f"tcp://127.0.0.1:{port}"
    options = ["--listener-url", here, "--advertised-listener-url", here, "--storage-engine", "memory://tansu/"]
    yield from _running(Server([tool("tansu"), "broker", *options], port, folder))


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Server]:
    """Azure's blobs, in memory; `AZURE_ACCOUNT` has a key for them."""
    port = free_port()
    settings = {"AZURITE_ACCOUNTS": ":".join(AZURE_ACCOUNT)}
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    yield from _running(
        Server([tool("azurite-blob"), *options, "--silent", "--disableTelemetry"], port, folder, settings)
    )


@contextlib.contextmanager
def npm_cosmos(folder: Path) -> Iterator[Server]:
    """Cosmos DB as npm has it, which is wrong in much: the stand-in is held to it where it is right."""
    port = free_port()
    options = ["--no-ssl", "--host", "127.0.0.1", "--port", str(port)]
    yield from _running(Server([tool("cosmosdb-server"), *options], port, folder))


class EventHubs(Server):
    """The stand-in of Event Hubs; `connection` says how to reach it."""

    def __init__(self, folder: Path) -> None:
        """Start it with a policy that nobody else has."""
        port, control, key = free_port(), free_port(), secrets.token_urlsafe(32)
        module = ["-m", "tests.emulators.event_hubs", str(port), str(control), POLICY, key]
        root = str(Path(__file__).parents[2])
        super().__init__([tool("python"), *module], port, folder, {"PYTHONPATH": root})
        self._there, self._asking = http.client.HTTPConnection("127.0.0.1", control, timeout=20), threading.Lock()
        endpoint = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName={POLICY};SharedAccessKey={key}"
        self.connection = f"{endpoint};UseDevelopmentEmulator=true"

    def make_hub(self, name: str, partitions: int) -> None:
        """As what deploys it does: clients cannot."""
        self._ask("PUT", f"/hubs/{name}?partitions={partitions}")

    def events(self, hub: str, partition: int, after: int = -1, limit: int = 10_000) -> list[tuple[int, bytes, dict]]:
        """What is in a partition, without asking for it as a client: number, body, properties."""
        found = self._ask("GET", f"/hubs/{hub}/{partition}?after={after}&limit={limit}")
        return [(number, base64.b64decode(body), properties) for number, body, properties in found]

    def fail(self, kind: str, times: int) -> None:
        """The next batches are refused for now ("busy"), or kept and not answered ("lost")."""
        self._ask("POST", f"/faults/{kind}?times={times}")

    def _ask(self, method: str, path: str) -> Any:
        with self._asking:
            self._there.request(method, path)
            return json.loads(self._there.getresponse().read())


@contextlib.contextmanager
def event_hubs(folder: Path) -> Iterator[EventHubs]:
    """A namespace without hubs."""
    server = EventHubs(folder)
    with contextlib.closing(server._there):
        yield from _running(server)


def _running(server: Server) -> Iterator[Server]:
    try:
        yield server
    finally:
        server.stop()
