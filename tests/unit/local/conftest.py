"""A data folder that three devices have sent readings to."""

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


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=str(tmp_path / "data"), receivers=(), shards=4)


@pytest.fixture
def filled(settings):
    """A data folder with the readings of three devices; answers its ports."""
    ports, published = open_node(settings, durable=False)
    send(ports, published, settings, NOW, (10.0, 10.0, 10.0))
    yield ports
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
