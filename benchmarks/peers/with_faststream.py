"""The job with FastStream: a batch subscriber on a Kafka topic, offsets committed after a batch is stored."""

from __future__ import annotations

import asyncio
import sys

import msgspec
from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker
from job import Job

BROKER, TOPIC, DATABASE, EXPECTED, BATCH = sys.argv[1:6]

broker = KafkaBroker(BROKER, logger=None)
app = FastStream(broker, logger=None)
job = Job(DATABASE, int(EXPECTED))


@broker.subscriber(
    TOPIC,
    batch=True,
    max_records=int(BATCH),
    group_id="peers",
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
    decoder=lambda message: message.body,
)
async def take(bodies: list[bytes]) -> None:
    """A batch of bodies."""
    job.take(bodies)
    if job.finished:
        app.exit()


asyncio.run(app.run())
print(msgspec.json.encode(job.done).decode(), flush=True)
