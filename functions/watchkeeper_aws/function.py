"""One function: what calls it is told by the event, and goes to what serves such a trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from watchkeeper.errors import ConfigError, Undeclared
from watchkeeper.pipeline import STAGES
from watchkeeper_aws.container import Container, container
from watchkeeper_aws.observing import Observer

if TYPE_CHECKING:
    from watchkeeper.topology import Stage
    from watchkeeper_aws.gateway import Gateway


class StageFunction:
    """The handler of a stage. What triggers it follows from its row of the pipeline.

    Topics: MSK's mappings. A timer: `{"timer": stage}`. Files: ingest only. A bill: budget_cutoff only. Requests and
    sockets: api only. By hand: `{"command": "ping"}`, `{"command": "publish-knowledge"}`;
    budget_cutoff also `{"command": "restore"}`, retrain `{"command": "models", …}` (`cloud.model_command`).
    """

    def __init__(self, name: str, held: Callable[[], Container] = container) -> None:
        """Nothing is opened before the first event."""
        self.stage: Stage = STAGES[name]
        self._container = held
        self._observer = Observer(name)
        self._gateway: Gateway | None = None

    def __call__(self, event: Mapping[str, Any], context: Any) -> object:  # noqa: ANN401 - Lambda's context
        """Serve an event. Undeclared: it is of no trigger that the stage has."""
        with self._observer.invocation(context, _correlation(event)):
            try:
                return self._serve(event, context)
            except Exception:
                self._observer.log.exception("the invocation failed")
                raise

    def close(self) -> None:
        """Let go of what serves requests; Lambda itself never asks for it."""
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None

    def _serve(self, event: Mapping[str, Any], context: Any) -> object:  # noqa: ANN401 - Lambda's context
        held, name = self._container(), self.stage.name
        if "records" in event and self.stage.topics:
            from watchkeeper_aws.stream_trigger import take_event

            return take_event(name, event, context.get_remaining_time_in_millis, held, self._observer)
        if "requestContext" in event and name == "api":
            return self._request(event)
        if event.get("timer") == name and self.stage.timer:
            return self._tick(context)
        if "command" in event:
            return self._command(event)
        source = _source(event)
        if source == "aws:s3" and name == "ingest":
            from watchkeeper_aws.file_trigger import take_files

            return take_files(event, held, self._observer)
        if source == "aws:sns" and name == "budget_cutoff":
            from watchkeeper_aws.bill_trigger import heed_bill

            heed_bill(event, held)
            return self._tick(context)
        text = f"{name} has no trigger for an event with {', '.join(sorted(map(str, event))[:8]) or 'nothing in it'}"
        raise Undeclared(text)

    def _request(self, event: Mapping[str, Any]) -> object:
        """HTTP and WebSocket, both by the one application, which is put together when the first one comes."""
        held = self._container()
        if self._gateway is None:
            from watchkeeper_aws.web import open_gateway

            self._gateway = open_gateway(held)
        if "connectionId" in event["requestContext"]:
            from watchkeeper_aws.sockets import serve_socket

            return serve_socket(event, held, self._gateway)
        return self._gateway.serve(event)

    def _tick(self, context: Any) -> object:  # noqa: ANN401 - Lambda's context
        from watchkeeper_adapters.cloud.timer_trigger import tick

        held = self._container()
        told = tick(self.stage.name, context.get_remaining_time_in_millis, held, self._observer)
        if self.stage.name == "budget_cutoff" and held.settings.waiting_hours:
            from watchkeeper_aws.cutoff import cutoff_of

            cutoff_of(held).follow(held.published.budget, held.clock())
        return told

    def _command(self, event: Mapping[str, Any]) -> dict[str, Any]:
        command = str(event["command"])
        if command == "ping":
            return {"function": self.stage.name, "bundle": self._container().published.bundle.version}
        if command == "publish-knowledge":
            return {"bundle": self._container().publish_knowledge()}
        if command == "restore" and self.stage.name == "budget_cutoff":
            from watchkeeper_aws.cutoff import cutoff_of

            return {"restored": ", ".join(cutoff_of(self._container()).restore())}
        if command == "models" and self.stage.name == "retrain":
            from watchkeeper_adapters.cloud.model_command import change_models

            return change_models(event, self._container().ports.blobs, self._container().clock())
        known = "ping, publish-knowledge, budget_cutoff's restore and retrain's models"
        text = f"command {command[:40]!r} is not known; known are {known}"
        raise ConfigError(text)


def _source(event: Mapping[str, Any]) -> str:
    """Who sends `Records`: S3 and SNS write it in two ways."""
    records = event.get("Records")
    first = records[0] if isinstance(records, list) and records else {}
    return str(first.get("eventSource") or first.get("EventSource") or "")


def _correlation(event: Mapping[str, Any]) -> str:
    """What the lines of one invocation have in common with those of who called: a request's id, a batch's place."""
    request = event.get("requestContext")
    if isinstance(request, dict):
        return str(request.get("requestId", ""))
    records = event.get("records")
    if isinstance(records, dict):
        places = [f"{where}@{batch[0].get('offset')}" for where, batch in records.items() if batch]
        return ",".join(places[:4])
    return ""
