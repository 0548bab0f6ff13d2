"""What the tests of senders talk to, and what they send."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

START = 1_760_000_000_000


def some(count, device="pump-01"):
    return [{"device": device, "ts": START + 1000 * n, "values": {"flow": float(n)}} for n in range(count)]


class Server:
    """Answers `POST /ingest/batch` as its script says, then accepts; remembers what came."""

    def __init__(self, port=0):
        self.script = []
        self.seen = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, dict(self.headers), body["readings"], time.monotonic()))
                status, headers, answer = outer.script.pop(0) if outer.script else outer.accept(body["readings"])
                if status is None:
                    self.close_connection = True
                    return
                text = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @staticmethod
    def accept(readings):
        return 202, {}, {"accepted": len(readings), "rejected": []}

    def keys(self):
        return [headers["Idempotency-Key"] for _, headers, _, _ in self.seen]

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


ROUTER = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
"""


def listener(version, port, extra=""):
    """A listener in rumqttd's TOML."""
    return f"""
[{version}.1]
name = "{version}"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
{extra}
[{version}.1.connections]
connection_timeout_ms = 5000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
"""
