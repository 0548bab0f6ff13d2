"""Before a Kafka broker that answers an empty Fetch at once: what holds such an answer a while, as brokers do.

Consumers ask again as soon as they are answered. Of a broker that does not wait for records, as `max_wait_ms` of the
request wants it (Kafka's protocol guide, Fetch), each of them takes half a core while there is nothing to read. Nothing
that is said is changed but the broker's address; an answer is taken for empty if none to a request of this length was
shorter, so that one with records may come late, and never another one.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
import time

from tests.emulators.kafka_door import FIND_COORDINATOR, METADATA, receive, send

FETCH = 1
HOLD_S = 0.02


class Patience:
    """Listens at `port` for the broker at `behind`, which need not run yet."""

    def __init__(self, port: int, behind: int) -> None:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError, EOFError),
                    socket.create_connection(("127.0.0.1", behind)) as broker,
                ):
                    for one in (self.request, broker):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    outer._serve(self.request, broker)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

        self._server = Listener(("127.0.0.1", port), Handler)
        self._broker, self._here = (b"127.0.0.1" + struct.pack(">i", each) for each in (behind, port))
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more; who is in leaves with the broker."""
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket, broker: socket.socket) -> None:
        least: dict[int, int] = {}
        while True:
            request = receive(client)
            send(broker, request)
            answer = receive(broker)
            (key,) = struct.unpack_from(">h", request)
            if key in {METADATA, FIND_COORDINATOR}:
                answer = answer.replace(self._broker, self._here)
            elif key == FETCH:
                shortest = least[len(request)] = min(least.get(len(request), len(answer)), len(answer))
                if len(answer) == shortest:
                    time.sleep(HOLD_S)
            send(client, answer)
