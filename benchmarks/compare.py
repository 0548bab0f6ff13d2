"""The same job by Watchkeeper, FastStream, Quix Streams and Bytewax, on the same readings: readings a second of a core.

A core's second is a second of processor time of all processes that do the job: for Watchkeeper all of `watchkeeper up`,
its durable stream included; for the others their one process, without the Kafka broker that feeds two of them. What
was stored, deduplicated and found must be the same for all.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from readings import recording
from results import save
from running import PATIENCE_S, Watch, check_accounting, free_ports, up

PEERS = Path(__file__).with_name("peers")
SIZE, DEVICES, GROUPS = 100, 1_000, 10
KAFKA = ("faststream", "quix_streams")
NAMES = {
    "watchkeeper": "Watchkeeper",
    "faststream": "FastStream",
    "quix_streams": "Quix Streams",
    "bytewax": "Bytewax",
}
PRODUCE = """
import sys, msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
broker, topic, path = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": broker})
for made in admin.create_topics([NewTopic(topic, 1, 1)]).values():
    made.result(30)
producer = Producer({"bootstrap.servers": broker, "queue.buffering.max.messages": 1_000_000, "acks": "all"})
for body in msgspec.msgpack.decode(open(path, "rb").read(), type=list[bytes]):
    producer.produce(topic, body)
assert not producer.flush(60)
"""


class Done(msgspec.Struct, frozen=True):
    """What one try came to."""

    stored: int
    deduplicated: int
    anomalies: int
    cpu_s: float
    wall_s: float
    batches: int = 0


class Row(msgspec.Struct, frozen=True):
    """Medians of all tries; `ratio` is Watchkeeper's readings a core second by this one's, in the same round."""

    name: str
    tries: int
    per_core_s: float
    per_s: float
    ratio: float
    anomalies: int


class Group(threading.Thread):
    """Sends every tenth body, those of the same devices, one after the other."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        super().__init__(daemon=True)
        self._port, self._bodies, self.accepted = port, bodies, 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for body in self._bodies:
            connection.request("POST", "/ingest/realtime", body, {"Content-Type": "application/json"})
            self.accepted += msgspec.json.decode(connection.getresponse().read())["accepted"]
        connection.close()


def watchkeeper(bodies: Sequence[bytes], folder: Path) -> Done:
    """A `watchkeeper up` that is given the bodies as fast as it takes them. AssertionError: they do not add up."""
    port, mqtt = free_ports()
    flags = ["--requests-per-second", "0", "--retrain-hours", "0", "--no-canary"]
    with up(str(folder / "watchkeeper"), port, mqtt, flags) as process, Watch(process.pid, port, 0.5) as watch:
        before, began = watch.look(), time.monotonic()
        by_group: list[list[bytes]] = [[] for _ in range(GROUPS)]
        place = -1
        for number, body in enumerate(bodies):
            place += number == 0 or body != bodies[number - 1]
            by_group[place % GROUPS].append(body)
        groups = [Group(port, each) for each in by_group]
        for group in groups:
            group.start()
        for group in groups:
            group.join()
        accepted = sum(group.accepted for group in groups)
        assert accepted == len(bodies) * SIZE
        after, _ = watch.drained(accepted)
        wall = time.monotonic() - began
        check_accounting(after, accepted)
        cpu = sum(after.cpu.values()) - sum(before.cpu.values())
        return Done(after.counts["stored"], after.counts["deduplicated"], after.anomalies, cpu, wall)


def peer(name: str, python: str, arguments: Sequence[str], folder: Path, expected: int, batch: int) -> Done:
    """A peer in its own process and environment."""
    program = [
        python,
        str(PEERS / f"with_{name}.py"),
        *arguments,
        str(folder / f"{name}.db"),
        str(expected),
        str(batch),
    ]
    done = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=300, env=_environment(), cwd=folder)  # noqa: S603
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Done)


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[1]
    return {"PYTHONPATH": f"{root / 'shared'}:{root / 'functions'}", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


@contextlib.contextmanager
def kafka(python: str, folder: Path) -> Iterator[str]:
    """A Kafka broker on this machine."""
    port, _ = free_ports()
    program = Path(python).with_name("noida-db")
    command = [str(program), "start", "--only", "kafka", "--host", "127.0.0.1", "--kafka-port", str(port)]
    command += ["--data-dir", str(folder / "kafka")]
    log = (folder / "kafka.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True) as broker:  # noqa: S603
        try:
            until = time.monotonic() + PATIENCE_S
            while b"kafka" not in (folder / "kafka.log").read_bytes().lower():
                assert broker.poll() is None, "the Kafka broker has ended"
                assert time.monotonic() < until, "the Kafka broker does not start"
                time.sleep(0.1)
            time.sleep(1.0)
            yield f"127.0.0.1:{port}"
        finally:
            os.killpg(broker.pid, signal.SIGTERM)  # the command starts a program of its own
            broker.wait(PATIENCE_S)


def one_round(number: int, python: str, turns: int, batch: int, broker: str, folder: Path) -> dict[str, Done]:
    """Everybody once, on the same readings."""
    folder.mkdir()
    bodies = recording(turns, DEVICES, SIZE, time.time_ns() // 1_000_000)
    path = folder / "recording"
    path.write_bytes(msgspec.msgpack.encode(bodies))
    expected = len(bodies) * SIZE
    done = {"watchkeeper": watchkeeper(bodies, folder)}
    for name in KAFKA:
        topic = f"readings-{number}-{name}"
        subprocess.run([python, "-c", PRODUCE, broker, topic, str(path)], check=True, timeout=120)  # noqa: S603
        done[name] = peer(name, python, [broker, topic], folder, expected, batch)
    done["bytewax"] = peer("bytewax", python, [str(path)], folder, expected, batch)
    for name, each in done.items():
        per_core, per_s = each.stored / each.cpu_s, each.stored / each.wall_s
        print(f"  {NAMES[name]:<14} {per_core:>10,.0f} /s a core, {per_s:>10,.0f} /s, {each}", flush=True)
    found = {(each.stored, each.deduplicated) for each in done.values()}
    assert len(found) == 1, f"not all have stored the same: {found}"
    return done


def measure(python: str, rounds: int, turns: int, batch: int) -> list[Row]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with kafka(python, folder) as broker:
            done = [one_round(n, python, turns, batch, broker, folder / f"round-{n}") for n in range(rounds)]
    return [_row(name, shown, done) for name, shown in NAMES.items()]


def _row(name: str, shown: str, done: Sequence[dict[str, Done]]) -> Row:
    mine = [each[name] for each in done]
    ours = [each["watchkeeper"] for each in done]
    ratios = [(o.stored / o.cpu_s) / (m.stored / m.cpu_s) for o, m in zip(ours, mine, strict=True)]
    return Row(
        shown,
        len(done),
        statistics.median(each.stored / each.cpu_s for each in mine),
        statistics.median(each.stored / each.wall_s for each in mine),
        statistics.median(ratios),
        round(statistics.median(each.anomalies for each in mine)),
    )


def show(rows: Sequence[Row]) -> None:
    print(f"{'medians of ' + str(rows[0].tries):<16}{'readings/s a core':>20}{'readings/s':>14}{'Watchkeeper is':>18}")
    for row in rows:
        print(f"{row.name:<16}{row.per_core_s:>20,.0f}{row.per_s:>14,.0f}{row.ratio:>16.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the peers' packages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=200, help="readings of each of 1,000 devices")
    parser.add_argument("--batch", type=int, default=50, help="bodies of 100 readings that a peer takes at once")
    parser.add_argument("--save", default="", help="name of the file of results")
    parser.add_argument("--results", default="", help="folder of results")
    asked = parser.parse_args()
    rows = measure(str(Path(asked.peers).absolute()), asked.rounds, asked.turns, asked.batch)
    show(rows)
    if asked.save and asked.results:
        save(asked.save, rows, Path(asked.results))


if __name__ == "__main__":
    main()
