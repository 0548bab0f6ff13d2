"""The API under uvicorn, in a thread of the process that supervises."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from watchkeeper.errors import ConfigError
from watchkeeper.watching import CANARY
from watchkeeper_api.app import create_app
from watchkeeper_api.backend import Backend, Client, Limits, key_digest
from watchkeeper_local.node import CONSUMERS, clock
from watchkeeper_local.pressure import Pressure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watchkeeper.published import Published
    from watchkeeper_local.settings import Settings
    from watchkeeper_local.sqlite import SqlitePorts

# Measured under load: threads that take turns ten times as often as usual answer twice as fast; and readings, which
# come and go by the hundred, are no garbage worth looking for at every 700th object (a fifth of what a reading costs).
SWITCH_S = 0.0005
GARBAGE_AFTER = (50_000, 20, 100)


def backend_of(
    settings: Settings, ports: SqlitePorts, published: Published, workers: Callable[[], int], canary_key: str = ""
) -> Backend:
    """What the application works on here. `canary_key`: a key of the canary's, where keys are asked for."""

    def status() -> Mapping[str, object]:
        lag: dict[str, int] = {}
        for (group, _), waiting in ports.lag(CONSUMERS).items():
            lag[group] = lag.get(group, 0) + waiting
        return {"lag": lag, "workers": workers(), "stored_bytes": ports.size()}

    keys = {}
    for text in settings.api_keys:
        name, _, key = text.partition("=")
        who, _, tenant = name.partition("@")
        keys[key_digest(key)] = Client(who, tenant) if tenant else Client(who)
    if keys and canary_key:
        keys[key_digest(canary_key)] = Client(CANARY)
    limits = Limits(requests_per_second=settings.requests_per_second, burst=settings.request_burst)
    waits = Pressure(ports).bulk_waits
    return Backend(ports, published, settings.shards, clock, keys, limits, status, bulk_waits=waits)


def listen(settings: Settings) -> socket.socket:
    """Where the API is to be served. ConfigError: the port is taken, or the address is not this machine's."""
    where = (settings.host, settings.http_port)
    try:
        listener = socket.create_server(where, family=_family(settings.host), backlog=2048)
    except OSError as error:
        message = f"the API cannot listen on {where[0]}:{where[1]}: {error}; choose --host or --http-port"
        raise ConfigError(message) from error
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which these do not; without
    # it, an answer of more than one packet waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class ApiServer:
    """uvicorn in a thread, which closes the `listener` when it stops: `start` returns when it answers."""

    def __init__(self, settings: Settings, backend: Backend, listener: socket.socket) -> None:
        """Not yet answering."""
        config = uvicorn.Config(
            create_app(backend),
            log_level=settings.log_level,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self, patience_s: float = 15.0) -> None:
        """Answer. ConfigError: it does not."""
        self._thread.start()
        until = time.monotonic() + patience_s
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                host, port, *_ = self._listener.getsockname()
                message = f"the API does not start on {host}:{port}; its log says why"
                raise ConfigError(message)
            time.sleep(0.02)

    def stop(self) -> None:
        """Finish the requests that are under way, and stop listening."""
        self._server.should_exit = True
        self._thread.join(15)

    def _run(self) -> None:
        sys.setswitchinterval(SWITCH_S)
        gc.freeze()
        gc.set_threshold(*GARBAGE_AFTER)
        self._server.run(sockets=[self._listener])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
