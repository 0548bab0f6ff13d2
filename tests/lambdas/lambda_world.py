"""The simulator's world with Lambda functions instead of workers: batches as events of MSK, timers, requests."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.lambdas.events import event, from_msk
from tests.simulator.functions import Functions, FunctionWorld, Sent
from tests.simulator.scenario import SHARDS
from tests.simulator.world import knowledge
from watchkeeper.published import Published
from watchkeeper_aws.container import Container
from watchkeeper_aws.function import StageFunction
from watchkeeper_aws.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.ports import Ports, Stored
    from watchkeeper.topology import Stage


class Context:
    """Lambda's, with time enough."""

    aws_request_id = "8e3d5f30-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class LambdaFunctions(Functions):
    """Mappings that poll, a scheduler, and API Gateway."""

    def __init__(self, ports: Ports, stages: Sequence[Stage], clock: Callable[[], int]) -> None:
        """All of them in one process."""
        super().__init__(ports, stages, clock)
        container = Container(Settings(shards=SHARDS), ports, clock)
        container.__dict__["published"] = Published(ports, knowledge())
        self._functions = {
            stage.name: StageFunction(stage.name, lambda: container) for stage in stages if stage.name != "watch"
        }

    def take(self, stage: str, topic: str, partition: int, messages: list[Stored]) -> int:
        failures = self._call(stage, from_msk(topic, {partition: messages}))["batchItemFailures"]
        if not failures:
            return messages[-1].offset
        (again,) = [failure["itemIdentifier"]["offset"] for failure in failures]
        return again - 1

    def ring(self, stage: str) -> None:
        self._call(stage, {"timer": stage})

    def request(self, sent: Sent) -> tuple[int, Any]:
        told = event("http_api") | {
            "rawPath": sent.path,
            "rawQueryString": sent.query,
            "body": base64.b64encode(sent.body).decode(),
            "isBase64Encoded": True,
        }
        told["headers"] |= {"content-type": sent.content_type, "idempotency-key": sent.name}
        told["requestContext"]["http"] |= {"method": sent.method, "path": sent.path}
        told["requestContext"]["authorizer"] = {"lambda": {"name": "client"}}
        answer = self._call("api", told)
        return answer["statusCode"], answer["body"]

    def close(self) -> None:
        for function in self._functions.values():
            function.close()

    def _call(self, stage: str, told: dict[str, Any]) -> Any:
        """An invocation; event and answer travel as JSON."""
        return json.loads(json.dumps(self._functions[stage](json.loads(json.dumps(told)), Context())))


class LambdaWorld(FunctionWorld):
    """On AWS."""

    def functions(self, ports: Ports, clock: Callable[[], int]) -> Functions:
        return LambdaFunctions(ports, self.stages, clock)
