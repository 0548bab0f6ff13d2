"""This very machine as a device: what it measures now, a plausible quiet past, and a labelled burst of load."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from watchkeeper_local.sources.faults import Fault, FaultKind, make_fault
from watchkeeper_local.sources.processes import lag, wander
from watchkeeper_local.sources.reading import Columns, Floats, SourceReading, moments

MEGA = 1e6


def host_device() -> str:
    """`host-` and this machine's name without its domain, in [a-z0-9-]."""
    name = re.sub(r"[^a-z0-9-]+", "-", platform.node().split(".")[0].lower()).strip("-")
    return f"host-{name or 'local'}"


class HostSampler:
    """Samples this machine: %, and rates since the sample before in MB/s (disk) and Mbit/s (network but loopback)."""

    def __init__(self, site: str = "local", disk: Path | None = None) -> None:
        """`disk` is any path on the file system to watch; the home directory's unless given.

        On macOS the root is a sealed system volume, so its fill says nothing about where people's data goes.
        """
        self.device = host_device()
        self.site = site
        self._disk = str(disk if disk is not None else Path.home())
        self._at = time.monotonic()
        self._cpu = _cpu_seconds()
        self._counters = _counters()

    def sample(self, ts: int) -> SourceReading:
        """What the machine does now, stamped `ts` (epoch ms); rates are 0 when no time has passed since the last."""
        at, cpu, counters = time.monotonic(), _cpu_seconds(), _counters()
        elapsed = at - self._at
        busy, total = cpu[0] - self._cpu[0], cpu[1] - self._cpu[1]
        written, sent, received = (
            max(now - before, 0) / elapsed / MEGA if elapsed > 0 else 0.0
            for now, before in zip(counters, self._counters, strict=True)
        )
        self._at, self._cpu, self._counters = at, cpu, counters
        values = {
            "cpu_percent": min(max(100.0 * busy / total, 0.0), 100.0) if total > 0 else 0.0,
            "load_1m": psutil.getloadavg()[0],
            "memory_percent": psutil.virtual_memory().percent,
            "swap_percent": psutil.swap_memory().percent,
            "disk_percent": psutil.disk_usage(self._disk).percent,
            "disk_write_mbps": written,
            "net_sent_mbps": 8 * sent,
            "net_recv_mbps": 8 * received,
        }
        return {
            "device": self.device,
            "ts": ts,
            "values": {name: round(value, 3) for name, value in values.items()},
            "tags": {"class": "host", "os": platform.system().lower()},
            "site": self.site,
        }


def host_history(sample: SourceReading, start_ms: int, end_ms: int, step_ms: int, seed: int) -> Columns:
    """A quiet past that leads up to `sample`, with the noise such metrics have; equal arguments give equal bytes.

    CPU use is skewed upwards with short jobs now and then, the load average is its one-minute lag (as in the kernel),
    memory wanders, the disk has filled slowly, rates are log-normal. A present of above 60 % CPU is taken as 60 %: what
    is saturated now was not so all the time.
    """
    ts = moments(start_ms, end_ms, step_ms)
    rng = np.random.default_rng(seed)
    dt = np.diff(ts, prepend=ts[0]) / 1000
    now = sample["values"]
    shape = (len(ts), 1)

    def drift(sigma: float, tau_s: float) -> Floats:
        return wander(sigma * rng.standard_normal(1), rng.standard_normal(shape), dt, sigma, tau_s)[0]

    def rate(present: float, idle: float) -> Floats:
        return max(present, idle) * np.exp(rng.standard_normal(shape) - 0.5)

    usual = min(max(now["cpu_percent"], 1.0), 60.0)
    jitter = max(1.5, 0.2 * usual)
    jobs = np.where(rng.random(shape) < 0.01, rng.uniform(5.0, 25.0, shape), 0.0)
    cpu = usual * (1.0 + drift(0.1, 120.0)) + rng.gamma(2.0, jitter, shape) - 2.0 * jitter + jobs
    running = (psutil.cpu_count() or 1) * (np.clip(cpu, 0.0, 95.0) - usual) / 100.0
    days_before_end = (end_ms - ts[:, None]) / 86_400_000
    values = {
        "cpu_percent": np.clip(cpu, 0.0, 95.0),
        "load_1m": np.maximum(now["load_1m"] + lag(None, running, dt, 60.0)[0], 0.0),
        "memory_percent": np.clip(now["memory_percent"] + drift(0.4, 1_800.0), 0.0, 100.0),
        "swap_percent": np.full(shape, now["swap_percent"]),
        "disk_percent": np.maximum(now["disk_percent"] - 0.02 * days_before_end, 0.0),
        "disk_write_mbps": rate(now["disk_write_mbps"], 0.5),
        "net_sent_mbps": rate(now["net_sent_mbps"], 0.2),
        "net_recv_mbps": rate(now["net_recv_mbps"], 0.2),
    }
    # psutil gives the shares with one decimal.
    digits = {"memory_percent": 1, "swap_percent": 1, "disk_percent": 1}
    rounded = {name: np.round(column, digits.get(name, 3)) for name, column in values.items()}
    return Columns((sample["device"],), ts, rounded, dict(sample.get("tags", {})), sample.get("site", ""))


class LoadBurst:
    """Real CPU load by child processes, one per core, for a bounded time; `with LoadBurst(20): …` ends it in any case.

    A child ends at its deadline, on `stop()`, and when its standard input closes, which the operating system does when
    the parent dies, even by `kill -9`. Children are nice to others: the burst must not slow the pipeline under test.
    """

    def __init__(self, seconds: float, processes: int | None = None) -> None:
        """Load for `seconds` from `start()` on; `processes` is the number of cores unless given."""
        self.seconds = seconds
        self._count = processes if processes is not None else psutil.cpu_count() or 1
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the children that are still running."""
        return tuple(child.pid for child in self._children if child.poll() is None)

    def start(self) -> None:
        """Start the children; a burst that is running goes on as it is."""
        if self.pids:
            return
        command = [sys.executable, "-I", "-S", "-c", _BURN, str(self.seconds)]
        quiet = subprocess.DEVNULL
        for _ in range(self._count):
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)  # noqa: S603 - our own text
            self._children.append(child)

    def stop(self) -> None:
        """End the children and wait for them; safe to call twice."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
            if child.stdin is not None:
                child.stdin.close()
        self._children.clear()

    def label(self, device: str, start_ms: int) -> Fault:
        """What a burst started at `start_ms` (epoch ms) on `device` should be found as."""
        return make_fault(FaultKind.LOAD_BURST, device, start_ms, start_ms + int(self.seconds * 1000))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


# os.read and os._exit, for a thread that holds the lock of sys.stdin makes the interpreter abort at its end.
_BURN = """
import os, sys, threading, time
deadline = time.monotonic() + float(sys.argv[1])
if hasattr(os, "nice"):
    os.nice(5)
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
while time.monotonic() < deadline:
    sum(range(20000))
os._exit(0)
"""


def _cpu_seconds() -> tuple[float, float]:
    """Busy and total CPU seconds since boot. psutil.cpu_percent keeps its last call per process: samplers would mix."""
    times = psutil.cpu_times()._asdict()
    # On Linux the guests' time is part of user and nice already.
    total = sum(seconds for name, seconds in times.items() if not name.startswith("guest"))
    return total - times["idle"] - times.get("iowait", 0.0), total


def _counters() -> tuple[int, int, int]:
    """Bytes written to disks, sent and received since boot; 0 where the system has no such counter (containers)."""
    disk = psutil.disk_io_counters()
    # What processes of one machine tell each other is no load on its network: "lo", "lo0", "Loopback Pseudo-Interface".
    links = [link for name, link in psutil.net_io_counters(pernic=True).items() if not name.lower().startswith("lo")]
    written = disk.write_bytes if disk else 0
    return written, sum(link.bytes_sent for link in links), sum(link.bytes_recv for link in links)
