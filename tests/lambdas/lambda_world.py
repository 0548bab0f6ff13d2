"""The simulator's world with Lambda functions instead of workers: batches as events of MSK, timers, requests."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.lambdas.events import event, from_msk
from tests.simulator.scenario import SHARDS
from tests.simulator.world import BATCH, World, knowledge
from watchkeeper.errors import Unavailable
from watchkeeper.published import Published
from watchkeeper.topology import BATCH_DATA_INGESTION
from watchkeeper_aws.container import Container
from watchkeeper_aws.function import StageFunction
from watchkeeper_aws.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator.scenario import Request, Scenario
    from watchkeeper.ports import Ports
    from watchkeeper.topology import Stage

TYPES = {
    "json": "application/json", "ndjson": "application/x-ndjson", "msgpack": "application/msgpack", "csv": "text/csv",
}  # fmt: skip


class Context:
    """Lambda's, with time enough."""

    aws_request_id = "8e3d5f30-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Functions:
    """All functions of a stack, and what AWS does between them: mappings that poll, and a scheduler."""

    def __init__(self, ports: Ports, stages: Sequence[Stage], clock: Callable[[], int]) -> None:
        """Mappings begin where their groups have stopped."""
        self._ports, self._clock = ports, clock
        container = Container(Settings(shards=SHARDS), ports, clock)
        container.__dict__["published"] = Published(ports, knowledge())
        self._functions = {
            stage.name: StageFunction(stage.name, lambda: container) for stage in stages if stage.name != "watch"
        }
        self.batch, self.behind, self.blocked = BATCH, False, dict[str, str]()
        self._positions = {
            (stage.name, topic.name, partition): ports.stream.committed(stage.name, topic.name, partition)
            for stage in stages
            for topic in stage.topics
            for partition in range(ports.stream.partitions(topic.name))
        }
        self._due = {stage.name: 0 for stage in stages if stage.timer and stage.tick}
        self._seconds = {stage.name: stage.timer.seconds for stage in stages if stage.timer}

    def step(self) -> Counter[str]:
        """One batch of each mapping that has one, and the timers that are due."""
        counts: Counter[str] = Counter()
        for where in self._positions:
            counts["messages"] += self._poll(*where)
        for stage, due in self._due.items():
            if due <= self._clock():
                self._due[stage] = self._clock() + round(self._seconds[stage] * 1000)
                try:
                    self.call(stage, {"timer": stage})
                except Unavailable:
                    continue  # the scheduler calls again
        return counts

    def call(self, stage: str, told: dict[str, Any]) -> Any:
        """An invocation; event and answer travel as JSON."""
        return json.loads(json.dumps(self._functions[stage](json.loads(json.dumps(told)), Context())))

    def close(self) -> None:
        """No more of them."""
        for function in self._functions.values():
            function.close()

    def _poll(self, stage: str, topic: str, partition: int) -> int:
        name, after = f"{stage} {topic}/{partition}", self._positions[stage, topic, partition]
        self.blocked.pop(name, None)
        try:
            messages = self._ports.stream.read(topic, partition, after, self.batch)
            if not messages:
                return 0
            failures = self.call(stage, from_msk(topic, {partition: messages}))["batchItemFailures"]
            last = messages[-1].offset
            if failures:
                self.blocked[name] = "comes again"
                (last,) = [failure["itemIdentifier"]["offset"] - 1 for failure in failures]
            self._ports.stream.commit(stage, topic, partition, last)
        except Unavailable as error:
            self.blocked[name] = str(error)
            return 0
        self._positions[stage, topic, partition] = last
        return 0 if failures else len(messages)


class LambdaWorld(World):
    """Requests go through API Gateway's events to the function `api`."""

    _api: Functions | None = None
    _at = 0  # when the request at hand was made

    def run(self, scenario: Scenario) -> World:
        try:
            return super().run(scenario)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _worker(self, ports: Ports) -> Any:
        return Functions(ports, self.stages, self.clock)

    def _request(self, request: Request) -> None:
        path = f"/ingest/{'csv' if request.form == 'csv' else 'batch' if self._later(request) else 'realtime'}"
        told = event("http_api") | {
            "rawPath": path,
            "body": base64.b64encode(request.body).decode(),
            "isBase64Encoded": True,
        }
        told["headers"] |= {"content-type": TYPES[request.form], "idempotency-key": request.key}
        told["requestContext"]["http"] |= {"method": "POST", "path": path}
        told["requestContext"]["authorizer"] = {"lambda": {"name": "client"}}
        if self._api is None:
            self._api = Functions(self.wrapped, self.stages, lambda: self._at)
        self._at = request.at
        try:
            answer = self._api.call("api", told)
        except BaseException:
            self._let_go()
            raise
        if answer["statusCode"] == 503:
            raise Unavailable(answer["body"])
        assert answer["statusCode"] in {202, 400}, answer

    @staticmethod
    def _later(request: Request) -> bool:
        return request.topic is BATCH_DATA_INGESTION
