"""A gigabyte to `POST /ingest/upload` of a real `watchkeeper up`: how long it takes, and what the server's memory does.

It stops loudly when the server grows by more than `--most` megabytes, or a reading is lost or doubled.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

UP = "from watchkeeper_local.cli import main; raise SystemExit(main())"
METRICS = 8


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server with its data in the folder: its URL and its process."""
    http, mqtt = free_port(), free_port()
    flags = [
        "--data-dir", str(folder), "--http-port", str(http), "--mqtt-port", str(mqtt), "--receivers",
        f"file={folder / 'alerts'}",
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", UP, "up", *flags], stdout=subprocess.DEVNULL)  # noqa: S603 - our own command line
    url = f"http://127.0.0.1:{http}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health").is_success:
                    break
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def body(megabytes: int, row_bytes: int, first: int) -> Iterator[tuple[bytes, int]]:
    """A table, chunk by chunk, and how many rows are in each."""
    digits = max(1, row_bytes // METRICS - 4)
    cells = ",".join(f"{metric}.{'1234567890' * 99:.{digits}}" for metric in range(METRICS))
    yield ("ts,device," + ",".join(f"m{metric}" for metric in range(METRICS)) + "\n").encode(), 0
    made = number = 0
    while made < megabytes * 1_000_000:
        chunk = "".join(f"{first + i},dev-{i % 100},{cells}\n" for i in range(number, number + 64)).encode()
        number, made = number + 64, made + len(chunk)
        yield chunk, 64


def measure(megabytes: int, row_bytes: int, most: float, *, packed: bool) -> None:
    first = time.time_ns() // 1_000_000 - 400_000_000
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (url, server):
        rows = size = 0
        samples, over = [server.memory_info().rss], threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                samples.append(server.memory_info().rss)

        def content() -> Iterator[bytes]:
            nonlocal rows, size
            for chunk, count in body(megabytes, row_bytes, first):
                rows, size = rows + count, size + len(chunk)
                # Each chunk is a member of its own: simple, and what bgzip does.
                yield gzip.compress(chunk, 1) if packed else chunk

        watcher = threading.Thread(target=watch)
        watcher.start()
        headers = {"content-type": "text/csv", "idempotency-key": "benchmark"}
        if packed:
            headers["content-encoding"] = "gzip"
        started = time.perf_counter()
        answer = httpx.post(f"{url}/ingest/upload", content=content(), headers=headers, timeout=None)  # noqa: S113 - as long as it takes
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
        assert answer.status_code == 202, answer.text
        growth = (max(samples) - samples[0]) / 1e6
        print(
            f"{size / 1e6:,.0f} MB, {rows:,} rows: {seconds:.0f} s, {size / 1e6 / seconds:.1f} MB/s, "
            f"{rows / seconds:,.0f} readings/s; server {samples[0] / 1e6:.0f} MB at first, {growth:.0f} MB more at most"
        )
        assert answer.json()["accepted"] == rows, answer.json()
        assert growth < most, f"the server grew by {growth:.0f} MB"
        readings = drained(url)
        assert (readings["stored"], readings["deduplicated"], readings["dead"]) == (rows, 0, 0), readings
        print(f"all {rows:,} readings are stored, none twice")


def drained(url: str) -> dict[str, int]:
    while True:
        readings: dict[str, int] = httpx.get(f"{url}/api/status", timeout=60).json()["readings"]
        if not readings["in_flight"]:
            return readings
        time.sleep(0.5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--row-bytes", type=int, default=1_000)
    parser.add_argument("--most", type=float, default=100.0, help="megabytes that the server may grow by")
    parser.add_argument("--gzip", action="store_true", help="send it compressed")
    given = parser.parse_args()
    measure(given.megabytes, given.row_bytes, given.most, packed=given.gzip)
