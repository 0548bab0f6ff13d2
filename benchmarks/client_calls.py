"""What a call of watchkeeper_client costs the application: alone, from eight threads, and while the server is away."""

import tempfile
import threading
import time
from collections.abc import Callable

from watchkeeper_client import Client

CALLS = 200_000
THREADS = 8


def calls(name: str, call: Callable[[], None]) -> None:
    """Microseconds per call: mean, 99.9 %, slowest."""
    times = []
    clock = time.perf_counter_ns
    started = clock()
    for _ in range(CALLS):
        call()
    mean = (clock() - started) / CALLS / 1e3
    for _ in range(CALLS):
        before = clock()
        call()
        times.append(clock() - before)
    times.sort()
    print(f"{name:28} {mean:8.2f} {times[int(CALLS * 0.999)] / 1e3:8.2f} {times[-1] / 1e3:8.1f}")


def timed(client: Client) -> None:
    with client.timer("render"):
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        client = Client("http://127.0.0.1:9", device="bench", interval=0.2, buffer=folder)
        print(f"{'µs per call, server away':28} {'mean':>8} {'99.9 %':>8} {'slowest':>8}")
        calls("gauge", lambda: client.gauge("queue_depth", 17))
        calls("increment", lambda: client.increment("orders"))
        calls("timer, with", lambda: timed(client))
        calls("gauge of a bad value", lambda: client.gauge("queue_depth", None))
        threads = [
            threading.Thread(target=lambda: [client.increment("orders") for _ in range(CALLS)]) for _ in range(THREADS)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        each = (time.perf_counter() - started) / (CALLS * THREADS) * 1e6
        print(f"{f'increment, {THREADS} threads':28} {each:8.2f}")
        client.close(0.1)


if __name__ == "__main__":
    main()
