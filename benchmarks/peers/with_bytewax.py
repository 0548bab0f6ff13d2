"""The job with Bytewax: a source of batches from a file, so that no broker is in its way, and a step over batches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from job import Job

RECORDING, DATABASE, EXPECTED, BATCH = sys.argv[1:5]


class Bodies(StatelessSourcePartition[bytes]):
    """The recorded bodies, in their order."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = msgspec.msgpack.decode(Path(RECORDING).read_bytes(), type=list[bytes])
        self._next = 0

    def next_batch(self) -> list[bytes]:
        if self._next >= len(self._bodies):
            raise StopIteration
        batch = self._bodies[self._next : self._next + int(BATCH)]
        self._next += len(batch)
        return batch


class Recording(DynamicSource[bytes]):
    """One partition."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Bodies:
        return Bodies()


class Readings(StatelessSinkPartition[bytes]):
    """Does the job where the stream ends, batch by batch."""

    def write_batch(self, items: Sequence[bytes]) -> None:
        job.take(items)


class Storage(DynamicSink[bytes]):
    """One partition."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Readings:
        return Readings()


job = Job(DATABASE, int(EXPECTED))
flow = Dataflow("readings")
op.output("job", op.input("bodies", flow, Recording()), Storage())
run_main(flow)
assert job.finished
print(msgspec.json.encode(job.done).decode(), flush=True)
