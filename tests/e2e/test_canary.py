"""The dead man's switch of a real `watchkeeper up`: its processes are stopped, and people hear of it all the same."""

import signal
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import psutil
import pytest

from tests.unit.adapters.stand_ins import StandIn

BOUND_S = 10


def until(met, seconds):
    """Ask again and again; the last answer."""
    end = time.monotonic() + seconds
    while not (answer := met()) and time.monotonic() < end:
        time.sleep(0.2)
    return answer


def children(up):
    """The processes of a running one in the order of their start: worker-0, outward, retrain."""
    found = [p for p in psutil.Process(up.process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
    return sorted(found, key=lambda process: process.create_time())


def told(hook):
    """What the webhook was told of the silent pipeline, in order."""
    return [seen.json["status"] for seen in hook.seen if seen.json["detector"] == "pipeline-silent"]


def flowing(up):
    """Has the canary been seen at the other end?"""
    return any(device["device"] == "watchkeeper-canary" for device in up.get("/api/devices")["devices"])


@pytest.fixture
def hook():
    """A webhook that takes everything."""
    server = StandIn((204, {}, b""))
    yield server
    server.close()


@pytest.fixture
def watched(up_with, hook):
    """A running one with a canary, whose readings have come out."""
    flags = ("--canary", "--silence-seconds", str(BOUND_S), "--receivers", f"webhook={hook.url}/x")
    runtime = up_with(*flags)
    assert until(lambda: flowing(runtime), 30), runtime.log()
    time.sleep(6)  # two looks that see it flow
    yield runtime
    for child in children(runtime):
        child.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_that_stands_still_is_an_alert_that_ends_when_it_goes_on(watched, hook):
    worker = children(watched)[0]
    worker.send_signal(signal.SIGSTOP)
    assert until(lambda: told(hook) == ["firing"], BOUND_S + 25), watched.log()
    assert [alert["detector"] for alert in watched.get("/api/alerts?status=firing")["alerts"]] == ["pipeline-silent"]
    time.sleep(12)
    assert told(hook) == ["firing"]
    worker.send_signal(signal.SIGCONT)
    assert until(lambda: told(hook) == ["firing", "resolved"], 40), watched.log()
    counts = watched.get("/api/status")["readings"]
    assert counts["accepted"] >= 3
    assert until(lambda: not watched.get("/api/status")["readings"]["in_flight"], 10)


@pytest.mark.slow
def test_people_are_told_though_the_stage_that_tells_them_stands_still_too(watched, hook):
    stopped = children(watched)[:2]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    assert until(lambda: told(hook) == ["firing"], 2 * BOUND_S + 40), watched.log()
    for process in stopped:
        process.send_signal(signal.SIGCONT)
    assert until(lambda: told(hook)[-1] == "resolved", 40), watched.log()
    assert told(hook) in (["firing", "resolved"], ["firing", "firing", "resolved"])


@pytest.mark.slow
def test_an_orderly_restart_says_nothing_and_a_flowing_pipeline_has_a_heartbeat(up_with, hook):
    beats = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self):
            beats.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/ping/secret-id"
        flags = ("--canary", "--silence-seconds", str(BOUND_S), "--heartbeat-url", url)
        up = up_with(*flags, "--receivers", f"webhook={hook.url}/x")
        assert until(lambda: beats, 40), up.log()
        assert up.stop() == 0
        up.start()
        assert until(lambda: len(beats) >= 2, 40), up.log()
        assert up.stop() == 0
        assert beats[0] == "/ping/secret-id"
        assert told(hook) == []
        assert "secret-id" not in up.log()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
