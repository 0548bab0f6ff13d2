"""The simulator's world with functions of an app on Azure, invoked by Microsoft's worker library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.azure_functions.events import batch_of
from tests.emulators.functions_worker import FunctionsWorker, datum, http_request
from tests.simulator.functions import Functions, FunctionWorld, Sent
from tests.simulator.scenario import SHARDS
from tests.simulator.world import knowledge
from watchkeeper.errors import Unavailable
from watchkeeper.published import Published
from watchkeeper_azure.app import open_app
from watchkeeper_azure.container import Container
from watchkeeper_azure.doors import Owner, new_key
from watchkeeper_azure.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watchkeeper.ports import Ports, Stored
    from watchkeeper.topology import Stage

LATE = '{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}'


class AzureFunctions(Functions):
    """The Event Hubs trigger, which knows no partial failure; timers; requests."""

    def __init__(self, ports: Ports, stages: Sequence[Stage], clock: Callable[[], int]) -> None:
        """One app that runs all stages."""
        super().__init__(ports, stages, clock)
        container = Container(Settings(shards=SHARDS), ports, clock)
        container.__dict__["published"] = Published(ports, knowledge())
        self._tables, self._key = ports.tables, ""
        self._worker = FunctionsWorker(open_app(lambda: container, ""))

    def take(self, stage: str, topic: str, partition: int, messages: list[Stored]) -> int:
        events, metadata = batch_of(topic, partition, messages, stage)
        answer = self._worker.invoke(f"{stage}_{topic.replace('-', '_')}", "events", events, metadata)
        return messages[-1].offset if answer.fine else messages[0].offset - 1

    def ring(self, stage: str) -> None:
        answer = self._worker.invoke(f"{stage}_timer", "timer", datum(LATE, "json"))
        if not answer.fine:
            raise Unavailable(answer.error)

    def request(self, sent: Sent) -> tuple[int, Any]:
        if not self._key:
            self._key = new_key(self._tables, Owner("client"))
        headers = {"content-type": sent.content_type, "idempotency-key": sent.name, "x-api-key": self._key}
        url = f"https://app.azurewebsites.net{sent.path}" + (f"?{sent.query}" if sent.query else "")
        asked = http_request(sent.method, url, sent.body, headers)
        answer = self._worker.invoke("requests", "req", asked)
        assert answer.fine, answer.error
        return answer.status, answer.value

    def close(self) -> None:
        """Nothing is held."""


class AzureWorld(FunctionWorld):
    """On Azure."""

    def functions(self, ports: Ports, clock: Callable[[], int]) -> Functions:
        return AzureFunctions(ports, self.stages, clock)
