"""`kill -9` of a running Watchkeeper under load: what it has acknowledged is stored, once."""

import os
import threading
import time
import uuid

import httpx
import psutil

SECONDS = float(os.environ.get("CRASH_TEST_SECONDS", "12"))
RATE = 2_000  # readings a second
BATCH = 100
DEVICES = 50


class Load:
    """Posts batches at a rate, each tried again under its key until it is acknowledged, as a careful client does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: list[tuple[str, int, float]] = []
        self.retries = 0

    def run(self, seconds: float) -> None:
        begin, start_ms = time.monotonic(), int(time.time() * 1000)
        with httpx.Client(timeout=10) as client:
            for number in range(int(seconds * RATE / BATCH)):
                readings = [self._reading(number, row, start_ms) for row in range(BATCH)]
                self._post(client, readings)
                self.acknowledged += [(r["device"], r["ts"], r["values"]["flow"]) for r in readings]
                time.sleep(max(0.0, begin + (number + 1) * BATCH / RATE - time.monotonic()))

    def _reading(self, number: int, row: int, start_ms: int) -> dict:
        count = number * BATCH + row
        device, ts = f"pump-{count % DEVICES:03d}", start_ms + count // DEVICES
        return {"device": device, "ts": ts, "values": {"flow": 100 + count % 37 / 10, "motor_current": 42.0}}

    def _post(self, client: httpx.Client, readings: list[dict]) -> None:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        while True:
            try:
                answer = client.post(f"{self.url}/ingest/realtime", json={"readings": readings}, headers=headers)
                if answer.status_code == 202:
                    assert answer.json()["accepted"] == len(readings)
                    return
                assert answer.status_code in {429, 503}, answer.text
            except httpx.HTTPError:
                self.retries += 1
            time.sleep(0.2)


def test_a_kill_9_under_load_loses_nothing_that_was_acknowledged_and_stores_nothing_twice(up):
    load = Load(up.url)
    sender = threading.Thread(target=load.run, args=(SECONDS,))
    sender.start()
    time.sleep(SECONDS / 2)
    children = psutil.Process(up.process.pid).children(recursive=True)
    up.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, f"children outlive their parent: {alive}"
    time.sleep(1)
    up.start()
    sender.join()
    status = up.drained(90)

    assert load.retries > 0, "the crash came at no request's expense: it shows nothing"
    stored = {}
    for device in {device for device, _, _ in load.acknowledged}:
        answer = up.get(f"/api/devices/{device}/series?metric=flow&points=10000&from=0")
        assert answer["bucket_ms"] == 0
        stored |= {(device, ts): value for ts, value in answer["points"]}
    assert stored == {(device, ts): value for device, ts, value in load.acknowledged}
    counts = status["readings"]
    assert counts["stored"] == len(load.acknowledged)
    assert counts["accepted"] == counts["stored"] + counts["dead"] + counts["deduplicated"] + counts["shed"]


def test_a_worker_that_is_killed_is_started_again_and_goes_on_where_it_was(up):
    up.http.post(f"{up.url}/ingest/realtime", json={"device": "d", "ts": 1_790_000_000_000, "values": {"a": 1}})
    up.drained()
    workers = [p for p in psutil.Process(up.process.pid).children() if p.memory_info().rss > 40e6]
    assert workers
    for worker in workers:
        worker.kill()
    answer = up.http.post(
        f"{up.url}/ingest/realtime", json={"device": "d", "ts": 1_790_000_001_000, "values": {"a": 2}}
    )
    assert answer.status_code == 202
    assert up.drained()["readings"]["stored"] == 2
    assert "started again" in up.log()
