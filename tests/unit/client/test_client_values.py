"""What is sent of what an application measures, and what a call may cost and must not do."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.unit.client.servers import until
from watchkeeper_client import Client

FUNCTIONS = Path(__file__).resolve().parents[3] / "functions"


def sent(client, server):
    """The values of everything, after a flush."""
    assert client.flush(10)
    return [reading["values"] for reading in server.stored()]


def test_the_last_value_of_a_gauge_and_the_sum_of_a_count_are_sent(client, server):
    for depth in (17, 4):
        client.gauge("queue_depth", depth)
        client.increment("orders")
    client.increment("orders", 2.5)
    assert sent(client, server) == [{"queue_depth": 4, "orders": 4.5}]


def test_a_reading_has_the_device_its_site_and_tags_and_the_time_of_the_cut(server, make_client):
    client = make_client(server.url, site="basel", tags={"version": "1.2", "canary": True}, api_key="secret")
    client.gauge("a", 1)
    before = time.time_ns() // 1_000_000
    assert client.flush(10)
    (reading,) = server.stored()
    assert before <= reading.pop("ts") <= time.time_ns() // 1_000_000
    tags = {"version": "1.2", "canary": True}
    assert reading == {"device": "checkout", "site": "basel", "tags": tags, "values": {"a": 1}}
    assert (server.path, server.headers["X-API-Key"]) == ("/ingest/realtime", "secret")


def test_a_timer_sends_mean_greatest_and_number(client, server):
    @client.timer("render")
    def render(seconds):
        time.sleep(seconds)
        return "done"

    assert render(0.01) == "done"
    assert render.__name__ == "render"
    with client.timer("render"):
        time.sleep(0.05)
    (values,) = sent(client, server)
    assert values["render.count"] == 2
    assert 30 <= values["render.ms"] < values["render.ms.max"]
    assert values["render.ms.max"] >= 50


def test_a_timer_counts_what_fails_and_lets_the_error_through(client, server):
    def fail():
        with client.timer("render"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert sent(client, server)[0]["render.count"] == 1


def test_a_coroutine_is_timed_until_it_ends(client, server):
    @client.timer("ask")
    async def ask():
        await asyncio.sleep(0.02)
        return 7

    assert asyncio.run(ask()) == 7
    assert sent(client, server)[0]["ask.ms"] >= 20


def test_a_count_that_stands_still_is_sent_as_zero_each_interval(server, make_client):
    client = make_client(server.url, interval=0.1)
    client.increment("orders", 3)
    assert until(lambda: len(server.stored()) >= 3)
    assert [reading["values"] for reading in server.stored()][:3] == [{"orders": 3}, {"orders": 0}, {"orders": 0}]


def test_more_values_than_a_reading_holds_are_several_readings_with_times_of_their_own(client, server):
    for number in range(300):
        client.gauge(f"g{number}", number)
    assert [len(values) for values in sent(client, server)] == [256, 44]
    first, second = (reading["ts"] for reading in server.stored())
    assert first < second


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, 1) for name in ("", "x" * 121, "a\n", None, [])],
        *[("a", value) for value in ("17", None, float("nan"), float("inf"), 10**400, object())],
    ],
)
def test_what_is_no_name_or_no_number_is_counted_logged_once_and_raises_nothing(client, server, caplog, name, value):
    with caplog.at_level(logging.WARNING, "watchkeeper_client"):
        for call in (client.gauge, client.increment, client.gauge):
            call(name, value)
    assert client.rejected == 3
    assert len(caplog.records) == 1
    client.gauge("good", 1)
    assert sent(client, server) == [{"good": 1}]


def test_names_without_end_do_not_fill_the_memory_or_the_log(client, caplog):
    for number in range(5_000):
        client.increment(f"user-{number}")
    assert client.rejected == 4_000
    assert len(caplog.records) <= 50


@pytest.mark.parametrize(
    "options",
    [{"device": "a b"}, {"site": ""}, {"interval": 0}, {"buffer_bytes": 1}, {"tags": {"a": None}}, {"url": "db:1"}],
)
def test_wrong_arguments_are_told_at_the_start(options, tmp_path):
    with pytest.raises(ValueError, match=r"no name|seconds above 0|none|no address"):
        Client(**{"url": "http://127.0.0.1:1", "device": "a", "buffer": tmp_path} | options)


def test_values_from_many_threads_are_all_counted(client, server):
    def work():
        for _ in range(2_000):
            client.increment("orders")
            with client.timer("work"):
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        client.flush(10)
    for thread in threads:
        thread.join()
    values = sent(client, server)
    assert sum(value.get("orders", 0) for value in values) == 16_000
    assert sum(value.get("work.count", 0) for value in values) == 16_000


def test_after_close_nothing_is_sent_or_raised(client, server):
    client.gauge("a", 1)
    client.close()
    client.gauge("a", 2)
    client.close()
    assert (client.flush(), client.rejected) == (False, 1)
    assert [reading["values"] for reading in server.stored()] == [{"a": 1}]


def test_a_call_does_not_wait_for_a_server_that_hangs(client, server):
    server.script = ["hang"]
    client.gauge("a", 1)
    client.flush(0.1)
    assert until(lambda: server.seen)
    slowest = 0.0
    for number in range(5_000):
        started = time.perf_counter()
        client.gauge("a", number)
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 1.0


def test_it_needs_the_standard_library_only():
    script = (
        f"import sys; sys.path.insert(0, {str(FUNCTIONS)!r}); import watchkeeper_client, json; "
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True, timeout=30)
    assert set(json.loads(done.stdout)) - {"__main__"} == {"watchkeeper_client"}
