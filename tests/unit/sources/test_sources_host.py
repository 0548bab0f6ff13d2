"""This machine as a device: real samples, a quiet past, and a burst of load that always ends."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from watchkeeper_local.sources import host
from watchkeeper_local.sources.faults import FaultKind
from watchkeeper_local.sources.host import HostSampler, LoadBurst, host_device, host_history

METRICS = {
    "cpu_percent",
    "load_1m",
    "memory_percent",
    "swap_percent",
    "disk_percent",
    "disk_write_mbps",
    "net_sent_mbps",
    "net_recv_mbps",
}
NOW = 1_760_000_000_000


def busy(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def gone(pids, within=5.0):
    until = time.monotonic() + within
    while time.monotonic() < until:
        alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not alive:
            return True
        time.sleep(0.05)
    return False


def test_a_sample_has_every_metric_within_its_range():
    sampler = HostSampler()
    time.sleep(0.2)
    reading = sampler.sample(NOW)
    assert reading["device"] == host_device()
    assert reading["ts"] == NOW
    assert set(reading["values"]) == METRICS
    assert all(value >= 0 for value in reading["values"].values())
    assert all(value <= 100 for name, value in reading["values"].items() if name.endswith("percent"))
    assert reading["values"]["memory_percent"] > 0


def test_work_shows_as_cpu_use():
    sampler = HostSampler()
    busy(0.5)
    assert sampler.sample(NOW)["values"]["cpu_percent"] >= 80 / (psutil.cpu_count() or 1)


def test_two_samplers_do_not_disturb_each_other():
    one, other = HostSampler(), HostSampler()
    busy(0.4)
    first = other.sample(NOW)["values"]["cpu_percent"]
    second = one.sample(NOW)["values"]["cpu_percent"]
    assert abs(first - second) < 40


def test_samples_in_immediate_succession_do_not_fail():
    sampler = HostSampler()
    for _ in range(20):
        sampler.sample(NOW)


def test_a_system_without_disk_counters_is_sampled_all_the_same(monkeypatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    assert HostSampler().sample(NOW)["values"]["disk_write_mbps"] == 0.0


@pytest.mark.parametrize(
    ("name", "device"),
    [("Anna's MacBook.local", "host-anna-s-macbook"), ("web_01.example.org", "host-web-01"), ("", "host-local")],
)
def test_the_device_is_named_after_the_machine_in_plain_letters(monkeypatch, name, device):
    monkeypatch.setattr(host.platform, "node", lambda: name)
    assert host_device() == device


def test_the_past_of_a_host_leads_up_to_its_present_and_is_quiet():
    present = HostSampler().sample(NOW)
    present["values"] |= {"cpu_percent": 20.0, "load_1m": 0.8, "memory_percent": 40.0, "disk_percent": 55.0}
    past = host_history(present, NOW - 86_400_000, NOW, 30_000, seed=1)
    assert past.devices == (present["device"],)
    assert set(past.values) == METRICS
    assert past.ts[-1] < NOW
    assert past.values["cpu_percent"].mean() == pytest.approx(20, abs=3)
    assert np.percentile(past.values["cpu_percent"], 99) < 60
    assert past.values["cpu_percent"].std() > 2
    assert past.values["load_1m"].mean() == pytest.approx(0.8, abs=0.3)
    assert past.values["memory_percent"].mean() == pytest.approx(40, abs=1)
    assert past.values["disk_percent"][-1, 0] == 55.0
    assert all((column >= 0).all() for column in past.values.values())


def test_a_saturated_present_does_not_make_a_saturated_past():
    present = HostSampler().sample(NOW)
    present["values"]["cpu_percent"] = 100.0
    past = host_history(present, NOW - 3_600_000, NOW, 1000, seed=1)
    assert past.values["cpu_percent"].mean() < 70


def test_the_same_seed_gives_the_same_past():
    present = HostSampler().sample(NOW)
    one, other = (host_history(present, NOW - 60_000, NOW, 1000, seed=3) for _ in range(2))
    assert list(one.readings()) == list(other.readings())
    assert len(one) == 60


def test_a_burst_of_load_is_seen_by_the_sampler_and_ends():
    sampler = HostSampler()
    with LoadBurst(20) as burst:
        time.sleep(0.3)
        sampler.sample(NOW)
        time.sleep(1.0)
        assert sampler.sample(NOW)["values"]["cpu_percent"] > 80
        pids = burst.pids
        assert len(pids) == psutil.cpu_count()
    assert gone(pids)
    assert burst.pids == ()


def test_a_burst_ends_by_itself_at_its_deadline():
    burst = LoadBurst(0.3, processes=1)
    burst.start()
    assert gone(burst.pids)
    burst.stop()
    burst.stop()


def test_a_burst_ends_when_its_parent_is_killed():
    script = """
import time
from watchkeeper_local.sources.host import LoadBurst
burst = LoadBurst(60, processes=2)
burst.start()
print(*burst.pids, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(signal.SIGKILL)
    assert gone(pids)


def test_a_burst_carries_its_label():
    label = LoadBurst(15, processes=1).label("host-a", NOW)
    assert (label.kind, label.device, label.start_ms, label.end_ms) == (
        FaultKind.LOAD_BURST,
        "host-a",
        NOW,
        NOW + 15_000,
    )
    assert label.expected_runbook == "host-cpu-saturation.md"
