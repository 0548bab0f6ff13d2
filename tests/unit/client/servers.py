"""A real HTTP server for the client: it answers as its script says, hangs, dies and comes back on the same port."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 10.0


def until(condition, seconds=PATIENCE_S):
    """Wait for something; answers what it was in the end."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


class Server:
    """Accepts, unless its script has something else: (status, headers), or "hang", or "lost" (taken, but not said)."""

    def __init__(self, port=0):
        self.script, self.seen = [], []
        self.awake = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                step = outer.script.pop(0) if outer.script else (202, {})
                outer.seen.append((step, self.headers["Idempotency-Key"], body["readings"], time.monotonic()))
                outer.headers, outer.path = dict(self.headers), self.path
                if step == "hang":
                    outer.awake.wait(30)
                if isinstance(step, str):
                    self.close_connection = True
                    return
                status, headers, *answer = step
                told = {"accepted": len(body["readings"]), "rejected": [], "rejected_count": 0, "shed": 0}
                text = json.dumps(answer[0] if answer else told).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def stored(self):
        """Readings as a Watchkeeper would have them: what came under a key that was taken before is not new."""
        taken = {}
        for step, key, readings, _ in self.seen:
            if step == "lost" or (not isinstance(step, str) and step[0] == 202):
                taken.setdefault(key, readings)
        return [reading for readings in taken.values() for reading in readings]

    def keys(self):
        return [key for _, key, _, _ in self.seen]

    def close(self):
        self.awake.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
