"""A load generator in a process of its own: sends bodies of readings over a few kept connections, and counts answers.

It takes a `Plan` as JSON, writes a line when the time that counts begins, and a `Report` at the end. Each connection
has devices of its own, so that a device's readings arrive in their order.
"""

from __future__ import annotations

import resource
import selectors
import socket
import sys
import time

import msgspec
from readings import MEDIA_TYPES, Body, bodies

LONGEST_PAUSE_S = 0.01
FAILURES_TO_GIVE_UP = 200
LATE_S = 0.1


class Plan(msgspec.Struct, frozen=True):
    """What to send: at `rate` readings a second or, where it is 0, as fast as answers come."""

    port: int
    seconds: float
    rate: float = 0.0
    warm_up: float = 0.0
    connections: int = 20
    devices: int = 1_000
    size: int = 100
    form: str = "json"
    repeat_every: int = 1_000  # one body in so many is sent twice, as a client does that has heard no answer
    turns: int = 16
    route: str = "/ingest/realtime"


class Report(msgspec.Struct):
    """Readings sent, and what was answered, in all; the rest is of the time that counts.

    `late`: bodies that were sent after they were due. `answer_ms`: 50, 95 and 99 % of answers took no longer.
    """

    sent: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    slowed: int = 0
    late: int = 0
    bytes_a_reading: float = 0.0
    in_time: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    answer_ms: tuple[float, ...] = ()


class Connection:
    """A kept connection with its own devices, one request at a time."""

    def __init__(self, plan: Plan, number: int) -> None:
        devices = range(number, plan.devices, plan.connections)
        head = f"POST {plan.route} HTTP/1.1\r\nHost: bench\r\nContent-Type: {MEDIA_TYPES[plan.form]}\r\n"
        head += "Content-Length: %d\r\n\r\n"
        self.bodies = bodies(devices, plan.size, plan.turns, plan.form, number, head.encode())
        self.socket = socket.create_connection(("127.0.0.1", plan.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(30)
        self.again: Body | None = None
        self.began = 0.0
        self._sent = 0
        self._last_ts = 0
        self._answer = b""

    def send(self, *, twice: bool) -> bool:
        """The next body, to be sent `twice`, or the last one again; answers whether it is the last one again."""
        body, self.again = self.again, None
        repeats = body is not None
        if body is None:
            body = self.bodies[self._sent % len(self.bodies)]
            ts = max(time.time_ns() // 1_000_000, self._last_ts + 1)
            body.patch(ts)
            self._last_ts = ts + len(body.places) - 1
            self._sent += 1
            if twice:
                self.again = body
        self.began = time.perf_counter()
        self.socket.sendall(body.data)
        return repeats

    def receive(self) -> bytes | None:
        """The answer, head and body, when it is whole."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return None
        answer, self._answer = self._answer, b""
        return answer


class Load:
    """All connections, and what came of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.report = plan, Report()
        self._all = [Connection(plan, number) for number in range(plan.connections)]
        self._idle = self._all[::-1]
        self._selector = selectors.DefaultSelector()
        for each in self._all:
            self._selector.register(each.socket, selectors.EVENT_READ, each)
        sizes = [len(body.data) for each in self._all for body in each.bodies]
        self.report.bytes_a_reading = sum(sizes) / len(sizes) / plan.size
        self._expected = b'"accepted":%d,' % plan.size
        self._times: list[float] = []
        self._counting = False

    def run(self) -> Report:
        plan, report = self.plan, self.report
        begin = time.perf_counter()
        count_from, until = begin + plan.warm_up, begin + plan.warm_up + plan.seconds
        due, pause, cpu = begin, plan.size / plan.rate if plan.rate else 0.0, 0.0
        while (now := time.perf_counter()) < until or len(self._idle) < len(self._all):
            if not self._counting and now >= count_from:
                self._counting, cpu = True, cpu_used()
                print(msgspec.json.encode({"counting": True}).decode(), flush=True)
            while self._idle and due <= now < until:
                report.late += self._counting and bool(pause) and now - due > LATE_S
                self._send(self._idle.pop())
                due = due + pause if pause else now
                now = time.perf_counter()
            rest = max(0.0, due - now) if self._idle else LONGEST_PAUSE_S
            self._receive(min(rest, LONGEST_PAUSE_S))
        report.wall_s, report.cpu_s = time.perf_counter() - count_from, cpu_used() - cpu
        self._times.sort()
        if self._times:
            report.answer_ms = tuple(self._times[int(len(self._times) * q)] * 1000 for q in (0.5, 0.95, 0.99))
        return report

    def _send(self, each: Connection) -> None:
        every = self.plan.repeat_every
        repeats = each.send(twice=every > 0 and self.report.sent // self.plan.size % every == every // 2)
        self.report.sent += self.plan.size
        self.report.repeated += self.plan.size * repeats

    def _receive(self, patience_s: float) -> None:
        for key, _ in self._selector.select(patience_s):
            each: Connection = key.data
            answer = each.receive()
            if answer is None:
                continue
            self._count(each, answer)
            if each.again:
                self._send(each)
            else:
                self._idle.insert(0, each)

    def _count(self, each: Connection, answer: bytes) -> None:
        report, size = self.report, self.plan.size
        if self._expected in answer:
            report.accepted += size
            if self._counting:
                report.in_time += size
                self._times.append(time.perf_counter() - each.began)
        elif b" 429 " in answer[:16]:
            report.slowed += size
            time.sleep(LONGEST_PAUSE_S)
        else:
            report.refused += size
            if report.refused == size:
                print(answer.decode(errors="replace"), file=sys.stderr, flush=True)
            if report.refused > size * FAILURES_TO_GIVE_UP:
                raise SystemExit(f"{FAILURES_TO_GIVE_UP} requests have failed")


def cpu_used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(msgspec.json.encode(Load(msgspec.json.decode(sys.argv[1], type=Plan)).run()).decode(), flush=True)
