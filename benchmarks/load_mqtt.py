"""A load generator in a process of its own: publishes one reading a message at QoS 1, and counts acknowledgements.

It speaks MQTT 3.1.1 itself, with packets made beforehand, so that it costs little beside what it measures. It takes a
`Plan` and answers a `Report`, as load_http.py does.
"""

from __future__ import annotations

import random
import selectors
import socket
import sys
import time

import msgspec
import numpy as np
from load_http import LONGEST_PAUSE_S, Plan, Report, cpu_used
from readings import PLACEHOLDER, device_name, encode, reading

from watchkeeper.packs import Ints

CONNECT = b"\x10%c\x00\x04MQTT\x04\x02\x00\x3c\x00%c%s"  # clean session, keep-alive of a minute
WINDOW = 200  # messages a connection has unacknowledged at most
AT_ONCE = 20


class Connection:
    """A client that publishes for devices of its own, a few messages in one write."""

    def __init__(self, plan: Plan, number: int) -> None:
        rng = random.Random(number)
        self._packets: list[tuple[bytearray, Ints, Ints]] = []
        devices = range(number, plan.devices, plan.connections)
        whole = len(devices) * plan.turns // AT_ONCE
        for first in range(0, whole * AT_ONCE, AT_ONCE):
            data, ids, times = bytearray(), [], []
            for row in range(first, first + AT_ONCE):
                of = devices[row % len(devices)]
                sent = {k: v for k, v in reading(of, row // len(devices), rng).items() if k != "device"}
                packet, id_at = publish(device_name(of), encode([sent], "json")[1:-1])
                ids.append(len(data) + id_at)
                times.append(len(data) + packet.index(str(PLACEHOLDER).encode()))
                data += packet
            self._packets.append((data, np.array(ids), np.array(times)[:, None] + np.arange(13)))
        self.bytes_a_message = len(self._packets[0][0]) / AT_ONCE
        self.socket = socket.create_connection(("127.0.0.1", plan.port))
        name = b"load-%d" % number
        self.socket.sendall(CONNECT % (12 + len(name), len(name), name))
        assert self.socket.recv(4) == b"\x20\x02\x00\x00", "the broker refuses the connection"
        self.socket.settimeout(30)
        self.unacknowledged = 0
        self._sent = self._next_id = self._last_ts = 0

    def send(self) -> None:
        """A few messages."""
        data, ids, times = self._packets[self._sent % len(self._packets)]
        self._sent += 1
        ts = max(time.time_ns() // 1_000_000, self._last_ts + 1)
        self._last_ts = ts
        bytes_ = np.frombuffer(data, np.uint8)
        bytes_[times] = np.frombuffer(b"%d" % ts, np.uint8)
        numbers = (self._next_id + np.arange(AT_ONCE)) % 60_000 + 1
        self._next_id += AT_ONCE
        bytes_[ids], bytes_[ids + 1] = numbers >> 8, numbers & 255
        self.socket.sendall(data)
        self.unacknowledged += AT_ONCE

    def receive(self) -> int:
        """How many messages have been acknowledged. Packets are of four bytes; half of one waits for its rest."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the broker has closed the connection")
        data += self.socket.recv(4 - len(data) % 4) if len(data) % 4 else b""
        assert set(data[::4]) == {0x40}, "something else than acknowledgements"
        self.unacknowledged -= len(data) // 4
        return len(data) // 4


def publish(device: str, payload: bytes) -> tuple[bytes, int]:
    """A PUBLISH packet at QoS 1, and where its id stands."""
    topic = f"devices/{device}/telemetry".encode()
    length = 2 + len(topic) + 2 + len(payload)
    assert 128 <= length < 16_384
    head = bytes([0x32, length % 128 | 0x80, length // 128]) + len(topic).to_bytes(2, "big") + topic
    return head + b"\x00\x00" + payload, len(head)


def run(plan: Plan) -> Report:
    connections = [Connection(plan, number) for number in range(plan.connections)]
    selector = selectors.DefaultSelector()
    for each in connections:
        selector.register(each.socket, selectors.EVENT_READ, each)
    report = Report(bytes_a_reading=connections[0].bytes_a_message)
    begin = time.perf_counter()
    count_from, until = begin + plan.warm_up, begin + plan.warm_up + plan.seconds
    due, pause, counting, cpu, turn = begin, AT_ONCE / plan.rate if plan.rate else 0.0, False, 0.0, 0
    while (now := time.perf_counter()) < until or report.accepted < report.sent:
        if not counting and now >= count_from:
            counting, cpu = True, cpu_used()
            print(msgspec.json.encode({"counting": True}).decode(), flush=True)
        while due <= now < until and (each := connections[turn]).unacknowledged <= WINDOW - AT_ONCE:
            each.send()
            turn = (turn + 1) % len(connections)
            report.sent += AT_ONCE
            due = due + pause if pause else now
            now = time.perf_counter()
        for key, _ in selector.select(min(max(0.0, due - now), LONGEST_PAUSE_S)):
            acknowledged = key.data.receive()
            report.accepted += acknowledged
            report.in_time += acknowledged * counting
    report.wall_s, report.cpu_s = time.perf_counter() - count_from, cpu_used() - cpu
    return report


if __name__ == "__main__":
    print(msgspec.json.encode(run(msgspec.json.decode(sys.argv[1], type=Plan))).decode(), flush=True)
