"""What becomes of readings while the server is away, busy, slow, or refuses; across restarts and forks."""

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.client.servers import Server, until
from watchkeeper_client import spool as spool_module
from watchkeeper_client.notes import Notes
from watchkeeper_client.spool import Spool

FUNCTIONS = Path(__file__).resolve().parents[3] / "functions"
NOWHERE = "http://127.0.0.1:9"


def measured(client, *values, flush_s=0.3):
    """One batch for each value."""
    for value in values:
        client.gauge("n", value)
        client.flush(flush_s)
        assert until(lambda: client._engine._cut_for == client._engine._asked)


def stored(server):
    return [reading["values"]["n"] for reading in server.stored()]


def application(script, url, folder, **options):
    """A process of its own that measures something and ends as the script says."""
    start = (
        f"import os, signal, sys, time; sys.path.insert(0, {str(FUNCTIONS)!r})\n"
        f"from watchkeeper_client import Client\n"
        f"client = Client({url!r}, device='app', interval=60, buffer={str(folder)!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", start + script], timeout=60, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("step", [(429, {"Retry-After": "1"}), (503, {"Retry-After": "1"})])
def test_retry_after_is_waited_for_and_the_key_stays_the_same(client, server, step):
    server.script = [step]
    client.gauge("n", 1)
    assert not client.flush(0.5)
    assert len(server.seen) == 1
    assert client.flush(5)
    (_, first, _, asked), (_, second, _, answered) = server.seen
    assert first == second
    assert answered - asked >= 0.99


def test_without_retry_after_it_tries_again_by_itself(client, server):
    server.script = [(500, {}), (502, {}), (503, {}), (429, {}), (401, {}), (404, {})]
    measured(client, 1, flush_s=8)
    assert stored(server) == [1]
    assert len(set(server.keys())) == 1
    assert (client.dropped, client.rejected) == (0, 0)


def test_what_was_taken_but_not_answered_is_sent_again_under_its_key(client, server):
    server.script = ["lost"]
    measured(client, 1, flush_s=8)
    assert len(server.seen) == 2
    assert stored(server) == [1]


def test_a_server_that_hangs_costs_a_timeout_and_no_reading(server, make_client):
    server.script = ["hang"]
    client = make_client(server.url, timeout=0.2)
    measured(client, 1, 2, flush_s=5)
    assert stored(server) == [1, 2]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_will_never_be_taken_is_dropped_and_counted_and_its_followers_arrive(client, server, status):
    server.script = [(status, {})]
    measured(client, 1, 2, flush_s=5)
    assert (stored(server), client.dropped) == ([2], 1)


def test_readings_that_the_server_rejects_are_counted_and_its_reason_is_logged(client, server, caplog):
    told = {"accepted": 0, "rejected": [{"index": 0, "reason": "ts: in the future"}], "rejected_count": 1, "shed": 0}
    server.script = [(202, {}, told), (202, {}, ["what"]), (202, {}, {"rejected_count": 2, "shed": 1})]
    measured(client, 1, 2, 3, flush_s=5)
    assert (client.rejected, client.dropped) == (4, 0)
    assert "ts: in the future" in caplog.text


def test_after_an_outage_all_arrives_in_order_with_its_own_times(server, make_client, caplog):
    client = make_client(server.url)
    measured(client, 0, flush_s=5)
    server.close()
    with caplog.at_level(logging.INFO, "watchkeeper_client"):
        times = []
        for value in (1, 2, 3):
            measured(client, value, flush_s=0.15)
            times.append(time.time_ns() // 1_000_000)
        back = Server(server.port)
        try:
            assert client.flush(10)
            assert stored(back) == [1, 2, 3]
            assert all(reading["ts"] <= at for reading, at in zip(back.stored(), times, strict=True))
        finally:
            back.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_the_next_run_of_the_application_sends_what_the_last_one_could_not(server, make_client, tmp_path):
    gone = make_client(NOWHERE)
    measured(gone, 1, 2)
    gone.close(0.2)
    client = make_client(server.url)
    measured(client, 3, flush_s=5)
    assert stored(server) == [1, 2, 3]


def test_what_a_killed_application_had_cut_is_sent_by_the_next(server, make_client, tmp_path):
    script = "client.gauge('n', 1); client.flush(0.3); os.kill(os.getpid(), signal.SIGKILL)"
    assert application(script, NOWHERE, tmp_path / "buffer").returncode == -signal.SIGKILL
    measured(make_client(server.url), 2, flush_s=5)
    assert stored(server) == [1, 2]


def test_one_application_takes_over_what_several_have_left(server, make_client):
    others = [make_client(NOWHERE) for _ in range(3)]
    for number, other in enumerate(others):
        measured(other, number)
    for other in others:
        other.close(0.2)
    assert make_client(server.url).flush(10)
    assert stored(server) == [0, 1, 2]


def test_what_is_left_by_a_client_that_ends_later_is_found_while_the_next_one_runs(server, make_client, monkeypatch):
    old = make_client(NOWHERE)
    measured(old, 1)
    client = make_client(server.url)
    measured(client, 2, flush_s=5)
    assert stored(server) == [2]
    old.close(0.2)
    monkeypatch.setattr(spool_module, "LOOK_S", 0.0)
    measured(client, 3, flush_s=5)
    assert stored(server) == [2, 3, 1]


def test_the_buffer_is_bounded_and_the_oldest_is_dropped_and_counted(tmp_path):
    notes = Notes()
    spool = Spool(tmp_path, 100_000, notes)
    for number in range(300):
        spool.append(number, b"%04d" % number + b"x" * 996, 2)
    assert notes.dropped == 400
    assert spool.oldest().body.startswith(b"0200")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 250_000
    spool.close()


def test_a_folder_that_cannot_be_written_leaves_the_buffer_in_memory(server, make_client, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    client = make_client(server.url, buffer=tmp_path / "file" / "below")
    server.script = [(503, {})]
    measured(client, 1, 2, flush_s=5)
    assert stored(server) == [1, 2]
    assert "waits in memory only" in caplog.text


def test_a_buffer_that_is_broken_is_put_aside(server, make_client, tmp_path):
    (tmp_path / "buffer").mkdir()
    (tmp_path / "buffer" / "0.db").write_bytes(b"no database" * 1_000)
    measured(make_client(server.url), 1, flush_s=5)
    assert stored(server) == [1]
    assert (tmp_path / "buffer" / "0.broken").exists()


def test_the_end_of_the_application_sends_what_is_left(server, tmp_path):
    assert application("client.gauge('n', 1)", server.url, tmp_path).returncode == 0
    assert stored(server) == [1]


def test_the_end_of_the_application_is_not_held_up_by_a_server_that_hangs(server, make_client, tmp_path):
    server.script = ["hang"]
    started = time.monotonic()
    assert application("client.gauge('n', 1)", server.url, tmp_path / "buffer").returncode == 0
    assert time.monotonic() - started < 6
    server.awake.set()
    assert make_client(server.url).flush(10)
    assert stored(server) == [1]


def test_a_child_sends_its_own_and_not_what_its_parent_had_measured(server, tmp_path):
    script = (
        "client.increment('n', 100)\n"
        "children = []\n"
        "for number in range(3):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        client.increment('n', number + 1)\n"
        "        client.close()\n"
        "        os._exit(0)\n"
        "    children.append(child)\n"
        "for child in children: os.waitpid(child, 0)\n"
        "client.increment('n', 10)\n"
    )
    done = application(script, server.url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(stored(server)) == [1, 2, 3, 110]


def test_a_fork_in_the_midst_of_an_outage_doubles_nothing(server, tmp_path):
    script = (
        "for number in range(8):\n"
        "    client.gauge('n', number); client.flush(0.3)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        client.gauge('n', 100 + number); client.flush(1.5); os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = application(script, NOWHERE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert application("client.flush(10)", server.url, tmp_path).returncode == 0
    assert sorted(stored(server)) == [*range(8), *range(100, 108)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists a process's descriptors there")
def test_no_descriptor_is_left_open_by_clients_that_were_closed(server, make_client):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    measured(make_client(server.url), 1, flush_s=5)
    before = descriptors()
    for _ in range(5):
        client = make_client(server.url)
        measured(client, 1, flush_s=5)
        client.close()
    assert until(lambda: descriptors() <= before + 2)
