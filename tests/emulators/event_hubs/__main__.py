"""A stand-in of Event Hubs: `python -m tests.emulators.event_hubs AMQP-PORT CONTROL-PORT POLICY KEY`, on loopback.

The second port is for what is not AMQP: `PUT /hubs/NAME?partitions=4` makes a hub, `GET /hubs/NAME/PARTITION?after=7`
shows its events, `POST /faults/KIND?times=2` makes trouble.
"""

from __future__ import annotations

import base64
import http.server
import json
import sys
import threading
from urllib.parse import parse_qs, urlsplit

from proton import Message
from proton.reactor import Container

from tests.emulators.event_hubs.hubs import Event, Namespace
from tests.emulators.event_hubs.links import Links
from tests.emulators.event_hubs.padding import PaddingIO


def main(amqp_port: str, control_port: str, policy: str, key: str) -> None:
    """Serve until the process is ended."""
    namespace = Namespace()
    links = Links(namespace, {policy: key}, f"127.0.0.1:{amqp_port}")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(control_port)), _control(namespace, links))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Container(links, global_handler=PaddingIO()).run()


def _control(namespace: Namespace, links: Links) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            _, kind, name, *rest = url.path.split("/")
            asked = {key: int(values[0]) for key, values in parse_qs(url.query).items()}
            if kind == "hubs" and self.command == "PUT":
                namespace.make(name, asked["partitions"])
                return self._send(None)
            if kind == "faults" and self.command == "POST":
                links.faults[name] = asked["times"]
                return self._send(None)
            place = namespace.place(f"{name}/Partitions/{rest[0]}")
            assert place, f"there is no {name}"
            first = asked.get("after", -1) + 1
            return self._send([_shown(event) for event in place.events[first : first + asked.get("limit", 1000)]])

        do_PUT = do_POST = do_GET  # noqa: N815 - names of http.server

        def _send(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _shown(event: Event) -> tuple[int, str, dict[str, str]]:
    """Number, body in base64, properties."""
    message = Message()
    message.decode(event.message[0])
    told = {_text(name): _text(value) for name, value in (message.properties or {}).items()}
    return event.number, base64.b64encode(bytes(message.body)).decode(), told


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


main(*sys.argv[1:])
