"""How many messages the embedded MQTT broker acknowledges and loses when it dies, or when Watchkeeper is stopped.

A device publishes at QoS 1 to a real `watchkeeper up`; in the middle the fault happens, and Watchkeeper comes back; at
the end every acknowledged reading is looked for through the API. `docs/reliability.md` shows what came out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion
from running import PATIENCE_S, free_ports, up

FAULTS = {
    "broker-killed": "kill -9 of the broker's process; `up` starts it again",
    "all-killed": "kill -9 of every process, then `up` again",
    "stopped": "SIGTERM to `up`, then `up` again",
}
DEVICE = "bench-1"
WINDOW_MS = 5_000  # of event time asked for at once: a reading takes a millisecond of it


@dataclasses.dataclass(frozen=True)
class Result:
    """One try: messages acknowledged, and how many of these are not stored, by when they were acknowledged."""

    acknowledged: int
    lost_before: int  # acknowledged before the fault
    lost_after: int  # acknowledged later: by a broker that had nobody to pass them to yet
    away_s: float  # from the fault to the next acknowledgement
    rate: float  # acknowledged a second before the fault

    @property
    def lost(self) -> int:
        return self.lost_before + self.lost_after


class Device:
    """Publishes readings one by one, as fast as they are acknowledged or at a rate, and notes each acknowledgement."""

    def __init__(self, port: int, in_flight: int) -> None:
        self.first_ts = time.time_ns() // 1_000_000 - 300_000
        self.acknowledged: dict[int, float] = {}  # event time: when
        self._sent: dict[int, int] = {}  # message id: event time
        self._count = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bench", clean_session=False)
        self._client.max_inflight_messages_set(in_flight)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._in_flight = in_flight
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, seconds: float, rate: float) -> None:
        began = time.monotonic()
        first = self._count
        while (passed := time.monotonic() - began) < seconds:
            due = rate and (self._count - first) / rate > passed
            if due or len(self._sent) >= 2 * self._in_flight:
                time.sleep(0.001)
                continue
            ts = self.first_ts + self._count
            body = f'{{"ts": {ts}, "values": {{"count": {self._count}}}}}'
            self._count += 1
            self._sent[self._client.publish(f"devices/{DEVICE}/telemetry", body, qos=1).mid] = ts

    def finish(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while self._sent and time.monotonic() < until:
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_publish(self, _client, _userdata, mid, _reason, _properties) -> None:  # noqa: ANN001 - paho's signature
        while mid not in self._sent:  # the answer was faster than `publish` returned
            time.sleep(0)
        self.acknowledged[self._sent.pop(mid)] = time.monotonic()


def one_try(fault: str, seconds: float, rate: float, in_flight: int) -> Result:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as exits:
        http, mqtt_port = free_ports()
        process = exits.enter_context(up(folder, http, mqtt_port))
        device = Device(mqtt_port, in_flight)
        device.publish(seconds, rate)
        at = time.monotonic()
        tree = psutil.Process(process.pid).children(recursive=True)
        if fault == "broker-killed":
            (broker,) = (child for child in tree if "iotcore" in " ".join(child.cmdline()))
            broker.send_signal(signal.SIGKILL)
        elif fault == "all-killed":
            for victim in (psutil.Process(process.pid), *tree):
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGKILL)
        else:
            process.terminate()
        if fault != "broker-killed":
            device.publish(1.0, rate)  # goes on while it dies or stops
            process.wait(PATIENCE_S)
            exits.enter_context(up(folder, http, mqtt_port))
        device.publish(seconds, rate)
        device.finish()
        stored = stored_times(f"http://127.0.0.1:{http}", device)
        lost = {ts: when for ts, when in device.acknowledged.items() if ts not in stored}
        before = sum(when <= at for when in lost.values())
        acks = sorted(device.acknowledged.values())
        away = next((when for when in acks if when > at + 0.2), at) - at
        rate_before = sum(when <= at for when in acks) / seconds
        return Result(len(acks), before, len(lost) - before, away, rate_before)


def stored_times(url: str, device: Device) -> set[int]:
    """The event times that the API knows, when all that came in has reached its end."""
    until = time.monotonic() + PATIENCE_S
    while True:
        status = httpx.get(f"{url}/api/status", timeout=10).json()
        if not status["readings"]["in_flight"] and not sum(status["pipeline"]["lag"].values()):
            break
        assert time.monotonic() < until, f"still under way: {status['pipeline']['lag']}"
        time.sleep(0.2)
    stored: set[int] = set()
    for start in range(device.first_ts, max(device.acknowledged) + 1, WINDOW_MS):
        span = {"metric": "count", "from": start, "to": start + WINDOW_MS, "points": WINDOW_MS}
        answer = httpx.get(f"{url}/api/devices/{DEVICE}/series", params=span, timeout=30).raise_for_status().json()
        assert not answer["bucket_ms"], "means instead of readings"
        stored |= {ts for ts, _ in answer["points"]}
    return stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="default: all of them")
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of publishing before the fault, and after it")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="messages a second; 0: as fast as they are acknowledged"
    )
    parser.add_argument("--in-flight", type=int, default=50, help="messages that wait for their acknowledgement")
    given = parser.parse_args()
    print(f"{'fault':<14} {'acked':>6} {'acked/s':>8} {'lost':>6} {'before':>7} {'after':>6} {'away s':>7}", flush=True)
    for fault in given.fault or FAULTS:
        results = []
        for _ in range(given.tries):
            result = one_try(fault, given.seconds, given.rate, given.in_flight)
            results.append(result)
            row = f"{fault:<14} {result.acknowledged:>6} {result.rate:>8.0f} {result.lost:>6} "
            print(row + f"{result.lost_before:>7} {result.lost_after:>6} {result.away_s:>7.1f}", flush=True)
        lost = [result.lost for result in results]
        print(f"{fault:<14} lost: least {min(lost)}, median {statistics.median(lost):g}, most {max(lost)}", flush=True)


if __name__ == "__main__":
    assert Path(sys.executable).exists()
    main()
