"""Bodies of readings into the stage `ingest`, durably: together through the gate, or each by itself."""

import asyncio
from http import HTTPStatus

from fastapi.concurrency import run_in_threadpool

from watchkeeper.admission import Admission
from watchkeeper.outcome import RawMessage
from watchkeeper.stages.ingest import Receipt
from watchkeeper.topology import Topic
from watchkeeper_api.backend import Backend
from watchkeeper_api.gate import Gate, GateFullError
from watchkeeper_api.refusals import RefusedError

FULL_RETRY_S = 1


class Intake:
    """Takes bodies; what it has answered is durable."""

    def __init__(self, backend: Backend) -> None:
        admission = Admission(backend.ports, backend.published, backend.shards, backend.clock)
        self._commit = admission.commit
        self._gate = Gate(self._commit) if backend.group_commit else None

    async def take(self, topic: Topic, message: RawMessage) -> Receipt:
        """What became of the body. Refused (429): too many wait; Unavailable: nothing is known to be durable."""
        if self._gate is None:
            return (await run_in_threadpool(self._commit, topic, [message]))[0]
        try:
            receipt = self._gate.submit(topic, message)
        except GateFullError as error:
            message_ = "more is coming in than can be made durable; try again"
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, message_, retry_after_s=FULL_RETRY_S) from error
        return await asyncio.wrap_future(receipt)

    def close(self) -> None:
        """Commit what waits, and stop."""
        if self._gate:
            self._gate.close()
