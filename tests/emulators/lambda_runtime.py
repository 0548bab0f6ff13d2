"""Lambda's Runtime API, and a function's process that is driven through it by the real runtime client."""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.server
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
TRACE_ID, PARENT = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"


class Answer(NamedTuple):
    """What an invocation came to: `response`, or `error` with its type and message; `says` are its log lines."""

    kind: str
    body: Any
    says: list[dict[str, Any]]

    def value(self) -> Any:
        assert self.kind == "response", self.body
        return self.body

    def said(self, what: str) -> list[dict[str, Any]]:
        """The log lines with these words in their message."""
        return [line for line in self.says if what in str(line.get("message", ""))]

    def metrics(self) -> dict[str, float]:
        """The metrics among the lines, by name."""
        told = {}
        for line in self.says:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                for metric in directive["Metrics"]:
                    value = line[metric["Name"]]
                    told[metric["Name"]] = max(value) if isinstance(value, list) else value
        return told


class _Nursery:
    """The process that all functions of this one part from; see `lambda_nursery`."""

    def __init__(self) -> None:
        """Start it; it ends with this process."""
        self._asking, its = socket.socketpair()
        self._lock = threading.Lock()
        command = [sys.executable, "-u", "-m", "tests.emulators.lambda_nursery"]
        with its:
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=its, stdout=subprocess.DEVNULL)
        atexit.register(self._close)

    def start(self, handler: str, environment: Mapping[str, str]) -> tuple[TextIO, int]:
        """A function's process: what it prints, and its id."""
        reads, writes = os.pipe()
        asked = {"handler": handler, "environment": dict(environment), "folder": str(FUNCTIONS)}
        child = self._ask(asked, writes)
        os.close(writes)
        return os.fdopen(reads), child

    def end(self, child: int) -> None:
        """It is no more."""
        self._ask({"end": child})

    def _ask(self, asked: Mapping[str, Any], *descriptors: int) -> int:
        with self._lock:
            socket.send_fds(self._asking, [json.dumps(asked).encode()], descriptors)
            answer = self._asking.recv(100)
        assert answer, "the functions' nursery has ended"
        return int(answer)

    def _close(self) -> None:
        self._asking.close()
        self._process.wait(10)


_nursery = functools.cache(_Nursery)


class Function:
    """A function that runs: `invoke` it as often as you like, one event after the other."""

    def __init__(
        self, handler: str, environment: Mapping[str, str], memory_mb: int = 1769, *, sampled: bool = False
    ) -> None:
        """Start the runtime client on `handler`; its traces are kept if they are `sampled`."""
        self._trace = f"Root={TRACE_ID};Parent={PARENT};Sampled={int(sampled)}"
        self.name = handler.split(".")[-2]
        self._work: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._lines: list[str] = []
        self._server = self._serve()
        told = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "_HANDLER": handler,
            "PYTHONUNBUFFERED": "1",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHKEEPER_", "AWS_"))}
        self._printed, self._process = _nursery().start(handler, kept | told | dict(environment))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def invoke(self, event: Any, time_left_ms: int = 60_000, patience_s: float = 60.0) -> Answer:
        """Call it; bytes are an event that is sent as it is."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        before = len(self._lines)
        self._work.put((str(uuid.uuid4()), body, time_left_ms))
        try:
            kind, answer = self._answers.get(timeout=patience_s)
        except queue.Empty:
            raise AssertionError("no answer:\n" + "\n".join(self._lines[before:])) from None
        time.sleep(0.05)  # its lines come by another way
        return Answer(kind, json.loads(answer or b"null"), [_line(text) for text in self._lines[before:]])

    def stop(self) -> None:
        """End the process."""
        _nursery().end(self._process)
        self._reader.join(5)
        self._printed.close()
        self._server.shutdown()
        self._server.server_close()

    def _read(self) -> None:
        for line in self._printed:
            self._lines.append(line.rstrip("\n"))

    def _serve(self) -> http.server.ThreadingHTTPServer:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_args: object) -> None:
                """Nothing."""

            def do_GET(self) -> None:
                name, body, left = outer._work.get()
                self.send_response(200)
                for key, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    "Lambda-Runtime-Aws-Request-Id": name,
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + left),
                    "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:x:000000000000:function:{outer.name}",
                    "Lambda-Runtime-Trace-Id": outer._trace,
                }.items():
                    self.send_header(key, value)
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):
                    self.wfile.write(body)

            def do_POST(self) -> None:
                body = self._body()
                kind = self.path.rsplit("/", 1)[-1]
                outer._answers.put((kind, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                data = b""
                while size := int(self.rfile.readline().strip(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


def _line(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        told = text
    return told if isinstance(told, dict) else {"message": text}


@contextlib.contextmanager
def running(handler: str, environment: Mapping[str, str]) -> Iterator[Function]:
    """A function that runs as long as this lasts."""
    function = Function(handler, environment)
    try:
        yield function
    finally:
        function.stop()
