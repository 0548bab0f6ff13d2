"""Bodies of readings into the stage `ingest`, durably: together through the gate, or each by itself."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus

from fastapi.concurrency import run_in_threadpool

from watchkeeper.context import Context
from watchkeeper.errors import Conflict
from watchkeeper.outcome import Outcome, RawMessage
from watchkeeper.pipeline import STAGES
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import Receipt, admit
from watchkeeper.topology import Topic
from watchkeeper_api.backend import Backend
from watchkeeper_api.gate import Gate, GateFullError
from watchkeeper_api.refusals import RefusedError

FULL_RETRY_S = 1
CONFLICT_TRIES = 4


class Intake:
    """Takes bodies; what it has answered is durable."""

    def __init__(self, backend: Backend) -> None:
        self._runner = Runner(
            STAGES["ingest"], None, backend.ports, backend.published, shards=backend.shards, clock=backend.clock
        )
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

    def _commit(self, topic: Topic, messages: Sequence[RawMessage]) -> list[Receipt]:
        receipts: list[Receipt] = []

        def decide(context: Context) -> Outcome:
            started = time.perf_counter()
            outcome, made = admit(messages, topic, context)
            receipts[:] = made
            outcome.counts["messages"] += len(messages)
            outcome.counts["bytes_in"] += sum(len(message.body) for message in messages)
            outcome.counts["busy_us"] += round((time.perf_counter() - started) * 1e6)
            return outcome

        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                self._runner.request(decide)
                break
            except Conflict:  # another process has taken the same request: what it has noted is read anew
                if not tries_left:
                    raise
        return receipts
