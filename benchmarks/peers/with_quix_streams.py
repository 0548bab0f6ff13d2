"""The job with Quix Streams: a batching sink, written at each checkpoint, after which offsets are committed."""

from __future__ import annotations

import sys

import msgspec
from job import Job
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

BROKER, TOPIC, DATABASE, EXPECTED, BATCH = sys.argv[1:6]


class Readings(BatchingSink):  # type: ignore[misc]
    """Takes what has gathered since the last checkpoint."""

    def write(self, batch: SinkBatch) -> None:
        job.take([item.value for item in batch])
        if job.finished:
            app.stop()


job = Job(DATABASE, int(EXPECTED))
app = Application(
    broker_address=BROKER,
    consumer_group="peers",
    auto_offset_reset="earliest",
    commit_every=int(BATCH),
    commit_interval=1.0,
    loglevel="ERROR",
)
app.dataframe(app.topic(TOPIC, value_deserializer="bytes")).sink(Readings())
app.run()
print(msgspec.json.encode(job.done).decode(), flush=True)
