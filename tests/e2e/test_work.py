"""Real processes of `watchkeeper work` against a real broker: shared out, killed, and replaced."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from confluent_kafka import Producer

from tests.emulators.aws import CREDENTIALS, REGION, emulated, new_bucket, new_tables
from tests.emulators.servers import NotToBeHadError, tansu
from watchkeeper.ids import shard_of
from watchkeeper.series import readings
from watchkeeper.topology import DEVICES
from watchkeeper_aws.blobs import S3Blobs
from watchkeeper_local.sqlite import open_ports

SHARDS = PARTITIONS = 4
BEGAN = int(time.time() * 1000) - 90_000
DEVICES_SENDING = [f"pump-{number:02d}" for number in range(8)]


@pytest.fixture
def broker(tmp_path):
    try:
        with tansu(tmp_path) as server:
            yield server
    except NotToBeHadError as error:
        pytest.skip(str(error))


class Work:
    """A machine that works: its folder, and its process."""

    def __init__(self, folder, broker, *flags, environment=None):
        folder.mkdir(exist_ok=True)
        self.alerts, self._log = folder / "alerts.jsonl", folder / f"work-{time.monotonic_ns()}.log"
        options = {
            "--kafka": broker.address,
            "--data-dir": folder / "data",
            "--shards": SHARDS,
            "--partitions": PARTITIONS,
            "--receivers": f"file={self.alerts}",
            "--log-level": "info",
        }
        command = [sys.executable, "-m", "watchkeeper_local.cli", "work", *flags]
        command += [str(part) for option in options.items() for part in option]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def log(self):
        return self._log.read_text(errors="replace")

    def kill(self):
        """All of its processes at once, as a power cut."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log()


def send(broker, first, number):
    """A reading a second of each device, by its name as a device hub would."""
    producer = Producer({"bootstrap.servers": broker.address})
    for step in range(first, first + number):
        for device in DEVICES_SENDING:
            ts = BEGAN + step * 1000
            values = {"vibration": 9.0 if device == "pump-03" else 2.0, "flow": 120.0}
            body = json.dumps({"ts": ts, "values": values}).encode()
            headers = {"device": device, "received": str(ts)}
            partition = shard_of("default", device, SHARDS) % PARTITIONS
            producer.produce("device-telemetry", body, device.encode(), partition, headers=headers)
    assert producer.flush(10) == 0


def until(done, patience_s=60.0):
    end = time.monotonic() + patience_s
    while not (answer := done()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.2)
    return answer


def stored_in(blobs):
    """How many readings of each device are stored."""
    return {
        device: len(readings(blobs, shard_of("default", device, SHARDS), "default", device).ts)
        for device in DEVICES_SENDING
    }


def test_workers_of_one_machine_share_the_partitions_and_tell(tmp_path, broker):
    work = Work(tmp_path / "here", broker, "--workers", "2")
    try:
        until(lambda: work.log().count("partitions of this process are now [") >= 2)
        send(broker, 0, 30)
        ports = open_ports(tmp_path / "here" / "data", partitions=PARTITIONS, shards=SHARDS, durable=False)
        until(lambda: stored_in(ports.blobs) == dict.fromkeys(DEVICES_SENDING, 30))
        assert len(ports.tables.query(DEVICES.name, "default")) == len(DEVICES_SENDING)
        (alert,) = until(lambda: work.alerts.exists() and work.alerts.read_text().splitlines())
        assert json.loads(alert)["device"] == "pump-03"
        ports.close()
        work.stop()
    finally:
        work.kill()


def test_machines_share_stores_and_the_rest_go_on_when_one_loses_power(tmp_path, broker, aws, monkeypatch):
    more = CREDENTIALS | {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": f"http://{aws.address}"}
    bucket, prefix = new_bucket(aws), new_tables(aws)
    flags = ("--stores", f"aws:{bucket}/{prefix}", "--workers", "1")
    one, other = (Work(tmp_path / name, broker, *flags, environment=os.environ | more) for name in ("one", "other"))
    try:
        for work in (one, other):
            until(lambda work=work: "partitions of this process are now [" in work.log())
        blobs = S3Blobs(emulated(aws, "s3"), bucket)
        send(broker, 0, 20)
        until(lambda: stored_in(blobs) == dict.fromkeys(DEVICES_SENDING, 20))
        one.kill()
        send(broker, 20, 20)
        until(lambda: stored_in(blobs) == dict.fromkeys(DEVICES_SENDING, 40))
        assert msgspec.json.decode(blobs.get_many(["layout"])["layout"].data) == {"shards": 4, "partitions": 4}
        other.stop()
    finally:
        one.kill()
        other.kill()
