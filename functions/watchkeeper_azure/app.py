"""The functions of an app, registered from the pipeline's table: what triggers a stage follows from its row.

A topic: an Event Hubs trigger, whose consumer group is called as the stage. A timer: a schedule. Files: ingest only. A
bill: budget_cutoff only. Requests: api only. By hand, in every app: the commands.

There is no partial failure of a batch: the function raises, the host keeps the checkpoint and brings the whole batch
again, without end; what was taken of it already is known by its origins, and skipped.
"""

# No `from __future__ import annotations`: the worker reads the signatures of functions.

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, List  # noqa: UP035 - the worker refuses list[…]

import azure.functions as func
import msgspec

from watchkeeper.errors import ConfigError, Unavailable, WatchkeeperError
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.topology import Stage, Topic
from watchkeeper_adapters.cloud.stream_trigger import take_deliveries
from watchkeeper_adapters.cloud.timer_trigger import tick
from watchkeeper_azure.commands import command
from watchkeeper_azure.container import Container, Held
from watchkeeper_azure.event_hub_events import delivery_of
from watchkeeper_azure.observing import observed, quiet
from watchkeeper_azure.settings import read_settings

TIMEOUT_S = 600  # host.json's functionTimeout, before which every invocation has to end
RETRY_AFTER = "00:00:05"
EVENT_HUBS = "WatchkeeperEventHubs"  # beginning of the settings by which the triggers find the namespace
BILL_ROUTE, COMMAND_ROUTE, ALL = "api/bill", "command", "{*path}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOT_HERE = "watch"  # a stage of runtimes whose workers can be watched; here Azure's own alerts do it


def stages_of(names: str) -> list[Stage]:
    """The rows that an app runs: one name, several with commas in between, or all. ConfigError: there is no such."""
    if not names:
        return [stage for stage in PIPELINE if stage.name != NOT_HERE]
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in STAGES or name == NOT_HERE]:
        raise ConfigError(f"WATCHKEEPER_STAGE: no stage {unknown[0][:40]!r}; known are {', '.join(STAGES)}")
    return [STAGES[name] for name in wanted]


def open_app(held: Callable[[], Container] | None = None, names: str | None = None) -> func.FunctionApp:
    """The app of the stages that WATCHKEEPER_STAGE names, or `names`. Nothing is opened before the first invocation."""
    quiet()
    stages = stages_of(read_settings().stage if names is None else names)
    functions = _Functions(held or Held())
    for stage in stages:
        functions.add_stage(stage)
    functions.add_commands([stage.name for stage in stages])
    return functions.app


class _Functions:
    def __init__(self, held: Callable[[], Container]) -> None:
        self.app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
        self._held = held
        self._turns: dict[str, threading.Lock] = {}
        self._web: Any = None  # what serves requests, once one has come

    def add_stage(self, stage: Stage) -> None:
        """All that triggers it."""
        self._turns[stage.name] = threading.Lock()
        for topic in stage.topics:
            self._add_topic(stage.name, topic)
        if stage.timer:
            self._add_timer(stage.name, schedule_of(stage.timer.seconds))
        if stage.name == "ingest":
            self._add_files()
        if stage.name == "budget_cutoff":
            self._add_bill()
        if stage.name == "api":
            self._add_requests()

    def _add_topic(self, stage: str, topic: Topic) -> None:
        name = f"{stage}_{topic.name.replace('-', '_')}"

        def take(events: List[func.EventHubEvent]) -> None:  # noqa: UP006
            if not events:
                return
            with self._turn(stage) as left_ms, observed(name) as observation:
                stops = take_deliveries(stage, [delivery_of(topic, events)], left_ms, self._held(), observation)
            if stops:
                (stop,) = stops
                where = f"{topic.name}/{stop.delivery.partition}"
                message = f"{name}: {where} comes again, from offset {stop.offset} on: {stop.why}"
                raise Unavailable(message)

        take.__name__ = name
        triggered = self.app.event_hub_message_trigger(
            "events",
            EVENT_HUBS,
            topic.name,
            data_type=func.DataType.BINARY,
            cardinality=func.Cardinality.MANY,
            consumer_group=stage,
        )
        retried = self.app.retry("fixed_delay", "-1", delay_interval=RETRY_AFTER)
        retried(triggered(self.app.function_name(name)(take)))

    def _add_timer(self, stage: str, schedule: str) -> None:
        name = f"{stage}_timer"

        def on_time(timer: func.TimerRequest) -> None:  # noqa: ARG001 - it is all the same whether it is late
            self._tick(stage, name)

        on_time.__name__ = name
        triggered = self.app.timer_trigger("timer", schedule, run_on_startup=False, use_monitor=False)
        triggered(self.app.function_name(name)(on_time))

    def _add_files(self) -> None:
        @self.app.function_name("files")
        @self.app.event_grid_trigger("event")
        def files(event: func.EventGridEvent) -> None:
            from watchkeeper_azure.file_trigger import take_file_event

            with self._turn("ingest"), observed("files") as observation:
                take_file_event(event, self._held(), observation)

    def _add_bill(self) -> None:
        @self.app.function_name("bill")
        @self.app.route(BILL_ROUTE, methods=["POST"])
        def bill(req: func.HttpRequest) -> func.HttpResponse:
            from watchkeeper_azure.bill_trigger import heed_bill

            with self._turn("budget_cutoff"):
                added = heed_bill(req.get_body(), self._held())
            self._tick("budget_cutoff", "bill")
            return _json({"added_usd": added})

    def _add_requests(self) -> None:
        """Who asks is found out by the application itself, so Azure asks for no key."""

        @self.app.function_name("requests")
        @self.app.route(ALL, methods=METHODS, auth_level=func.AuthLevel.ANONYMOUS)
        async def requests(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            if self._web is None:
                from watchkeeper_azure.web import open_application

                self._web = func.AsgiMiddleware(open_application(self._held()))  # type: ignore[no-untyped-call]
            answer: func.HttpResponse = await self._web.handle_async(req, context)
            return answer

    def add_commands(self, stages: Sequence[str]) -> None:
        """By hand, with a key of the app."""

        @self.app.function_name("command")
        @self.app.route(COMMAND_ROUTE, methods=["POST"])
        def by_hand(req: func.HttpRequest) -> func.HttpResponse:
            try:
                return _json(command(req.get_body(), stages, self._held()))
            except ConfigError as error:
                return _json({"error": str(error)}, 400)
            except WatchkeeperError as error:
                return _json({"error": f"{type(error).__name__}: {error}"}, 503)

    def _tick(self, stage: str, name: str) -> None:
        with self._turn(stage) as left_ms, observed(name) as observation:
            tick(stage, left_ms, self._held(), observation)

    @contextmanager
    def _turn(self, stage: str) -> Iterator[Callable[[], int]]:
        """The time that is left, ms, once it is this one's turn. Unavailable: that took too long.

        The worker serves several invocations at once, and a stage keeps its states from one to the next.
        """
        ends = time.monotonic() + TIMEOUT_S
        if not self._turns[stage].acquire(timeout=TIMEOUT_S / 2):
            raise Unavailable(f"{stage}: the invocation before needs too long; this one comes again")
        try:
            yield lambda: round((ends - time.monotonic()) * 1000)
        finally:
            self._turns[stage].release()


def schedule_of(seconds: float) -> str:
    """A timer as Functions write it, second minute hour day month weekday. ConfigError: it cannot be written so."""
    every = int(seconds)
    if every == seconds and every < 60 and 60 % every == 0:
        return f"*/{every} * * * * *"
    if every == 3600:
        return "0 0 * * * *"
    if every == seconds and every % 60 == 0 and 3600 % every == 0:
        return f"0 */{every // 60} * * * *"
    if every == 24 * 3600:
        return "0 0 0 * * *"
    raise ConfigError(f"a timer of every {seconds:g} s cannot be written as a schedule")


def _json(value: Any, status: int = 200) -> func.HttpResponse:  # noqa: ANN401 - what is to be said
    return func.HttpResponse(msgspec.json.encode(value), status_code=status, mimetype="application/json")
