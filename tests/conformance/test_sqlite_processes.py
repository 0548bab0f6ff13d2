"""Several processes on one file: together, killed, forked."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from watchkeeper.topology import DATA_PROCESSING_OUTPUT, DEVICES
from watchkeeper_local.sqlite import open_ports

TOPIC = DATA_PROCESSING_OUTPUT.name
SCRIPT = Path(__file__).with_name("sqlite_process.py")


@contextlib.contextmanager
def processes(what, folder, names):
    running = [
        subprocess.Popen([sys.executable, SCRIPT, what, folder, name], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def reopened(tmp_path):
    with contextlib.ExitStack() as stack:

        def reopen():
            ports = open_ports(tmp_path, partitions=4, shards=64)
            stack.callback(ports.close)
            return ports

        yield reopen


@pytest.mark.parametrize("what", ["durable", "quick"])
def test_what_was_acknowledged_survives_kill_9_and_what_was_half_done_does_not(tmp_path, reopened, what):
    names = ["one", "two"]
    with processes(what, tmp_path, names) as running:
        for process in running:
            assert [process.stdout.readline() for _ in range(50)] == [f"{number}\n" for number in range(50)]
        for process in running:
            process.kill()
        acknowledged = [int(["49", *process.stdout.read().split()][-1]) for process in running]
    ports = reopened()
    values = [message.value.decode() for message in ports.stream.read(TOPIC, 0, -1, 10**6)]
    for name, last in zip(names, acknowledged, strict=True):
        stored = [int(value.split(":")[1]) for value in values if value.startswith(name)]
        rows = [int(row.key.sort) for row in ports.tables.query(DEVICES.name, name, limit=10**6)]
        assert rows[: last + 1] == list(range(last + 1))
        assert stored == [number for number in rows for _ in range(2)]


def test_processes_that_make_the_file_together_and_race_lose_nothing(tmp_path, reopened):
    with processes("count", tmp_path / "new", ["a", "b", "c"]) as running:
        assert [process.wait(60) for process in running] == [0, 0, 0]
    ports = open_ports(tmp_path / "new", partitions=4, shards=64)
    assert ports.blobs.get_many(["count"])["count"].data == b"150"
    ports.close()


def test_a_process_sees_what_another_one_appends(tmp_path, reopened):
    ports = reopened()
    with processes("quick", tmp_path, ["other"]) as (other,):
        assert other.stdout.readline() == "0\n"
        assert [message.value for message in ports.stream.read(TOPIC, 0, -1, 2)] == [b"other:0"] * 2


def test_a_fork_is_allowed_before_the_file_is_used_and_refused_after(tmp_path, reopened):
    with processes("fork", tmp_path, ["parent"]) as (parent,):
        assert parent.stdout.read() == "before 0\nafter 3\n"
    values = [message.value for message in reopened().stream.read(TOPIC, 0, -1, 10)]
    assert values == [b"child before", b"parent before", b"parent after"]
