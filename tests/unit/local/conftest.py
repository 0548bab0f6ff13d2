"""A data folder that three devices have sent readings to."""

import shutil
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest

from watchkeeper.outcome import RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper.worker import Worker
from watchkeeper_local.node import open_node
from watchkeeper_local.settings import Settings

NOW = 1_790_000_000_000
READINGS = 400


def settings_for(folder):
    return Settings(data_dir=str(folder), receivers=(), shards=4)


@pytest.fixture
def settings(tmp_path):
    return settings_for(tmp_path / "data")


@pytest.fixture(scope="session")
def filled_folder(tmp_path_factory):
    """A data folder with the readings of three devices, to be copied."""
    folder = tmp_path_factory.mktemp("filled") / "data"
    with node(settings_for(folder)) as (ports, published):
        send(ports, published, settings_for(folder), NOW, (10.0, 10.0, 10.0))
    return folder


@pytest.fixture
def filled(settings, filled_folder):
    """A data folder of the test's own with the readings of three devices; answers its ports."""
    shutil.copytree(filled_folder, settings.data_dir)
    with node(settings) as (ports, _):
        yield ports


@contextmanager
def node(settings):
    ports, published = open_node(settings, durable=False)
    try:
        yield ports, published
    finally:
        ports.close()


def send(ports, published, settings, now, levels):
    """The 400 readings before `now` of a device for each level, through the whole pipeline."""
    noise = np.random.default_rng(5).normal(levels, 1, (READINGS, len(levels)))
    readings = [
        {"device": f"d{d}", "ts": now - (READINGS - i) * 1000, "values": {"a": round(float(noise[i, d]), 3)}}
        for i in range(READINGS)
        for d in range(len(levels))
    ]
    message = RawMessage(msgspec.json.encode(readings), now, "default", request=f"r{now}")
    ingest = Runner(STAGES["ingest"], None, ports, published, settings.shards, lambda: now)
    ingest.request(lambda ctx: admit([message], BATCH_DATA_INGESTION, ctx)[0])
    worker = Worker(ports, published, shards=settings.shards, clock=lambda: now)
    while worker.step()["messages"]:
        pass
