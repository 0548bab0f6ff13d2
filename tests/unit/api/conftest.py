"""An application over ports in memory, asked through ASGI without a server."""

import asyncio
import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from watchkeeper.knowledge.bundle import Bundle
from watchkeeper.memory import memory_ports
from watchkeeper.packs import Pack
from watchkeeper.ports import Key, Ports
from watchkeeper.published import Published
from watchkeeper.records import Reading
from watchkeeper.topology import TableSpec
from watchkeeper_api import Backend, Limits, create_app

NOW = 1_790_000_000_000


class CountedTransactions:
    """One unit of work at a time, each as slow as a flush to a disk; `count` says how many there were."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.count = 0
        self._seconds = seconds
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self.count += 1
            yield
            time.sleep(self._seconds)


class Api:
    """The application as a client sees it."""

    def __init__(self, backend: Backend, peer: str = "127.0.0.1") -> None:
        self.backend = backend
        self.app = create_app(backend)
        self.peer = peer
        self._loop = asyncio.Runner()  # one for all that is asked: a loop of its own costs as much as a request

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: object) -> httpx.Response:
        return self.ask("POST", path, **options)

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        return self.ask_all([(method, path, options)])[0]

    def ask_all(self, requests: list[tuple[str, str, dict[str, object]]]) -> list[httpx.Response]:
        """All at once."""

        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.peer, 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://watchkeeper") as client:
                return await asyncio.gather(*(client.request(m, path, **options) for m, path, options in requests))

        return self._loop.run(run())

    def close(self) -> None:
        self.app.state.services.intake.close()
        self._loop.close()


@pytest.fixture
def ports() -> Ports:
    return memory_ports(partitions=2)


@pytest.fixture
def make_api(ports):
    """Makes an application; what is given replaces fields of its backend."""
    made: list[Api] = []

    def make(peer: str = "127.0.0.1", **changes: object) -> Api:
        over = changes.get("ports", ports)
        backend = Backend(over, Published(over, Bundle.from_files({})), 64, lambda: NOW, limits=Limits(burst=1_000))
        made.append(Api(dataclasses.replace(backend, **changes), peer))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api) -> Api:
    return make_api()


@pytest.fixture
def keep(ports):
    """Puts a record where a stage would have put it."""

    def keep(table: TableSpec, partition: str, sort: str, record: msgspec.Struct) -> None:
        ports.tables.put(table.name, Key(partition, sort), msgspec.json.encode(record))

    return keep


@pytest.fixture
def readings_on(ports):
    """What lies on a topic of packs."""

    def readings(topic) -> list[Reading]:
        logs = (ports.stream.read(topic.name, p, -1, 10_000) for p in range(ports.stream.partitions(topic.name)))
        return [reading for log in logs for stored in log for reading in Pack.decode(stored.value).readings()]

    return readings
