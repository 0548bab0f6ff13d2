"""The world in which a scenario happens: the hub, the clients, the workers that die and are replaced, and the clock."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from tests.simulator.faults import Crash, Fault, Faults
from tests.simulator.scenario import (
    ROUND_MS,
    ROUNDS,
    SHARDS,
    START,
    FromHub,
    Garbage,
    Request,
    Scenario,
    at_round,
    shard,
)
from watchkeeper.errors import Conflict, Unavailable
from watchkeeper.knowledge.bundle import FOLDERS, Bundle
from watchkeeper.memory import MemoryReceiver
from watchkeeper.outcome import Outcome, RawMessage
from watchkeeper.pipeline import PIPELINE, STAGES
from watchkeeper.ports import Completion, Key, Message
from watchkeeper.published import CURRENT_CUTOFF, Published
from watchkeeper.records import DEFAULT_TENANT, Cutoff, Importance, Switches
from watchkeeper.run import Runner
from watchkeeper.stages.ingest import admit
from watchkeeper.topology import CUTOFFS, DEVICE_TELEMETRY
from watchkeeper.worker import Worker
from watchkeeper_api import Backend, create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulator.scenario import Event
    from watchkeeper.context import Context
    from watchkeeper.ports import LanguageModel, Ports, Receiver
    from watchkeeper.topology import Stage

    # What an adapter must give to be simulated: empty ports with these receivers and this language model.
    PortsFactory = Callable[[Mapping[str, Receiver], LanguageModel], Ports]

KNOWLEDGE_BASE = Path(__file__).parents[2] / "knowledge_base"
PHONE = "phone"
BATCH = 64
GAP_ROUNDS = 60  # ten minutes in which nobody sends …
TIMER_ROUNDS = 6  # … and only timers work, each of them once a minute
NIGHT_MS = 7 * 3_600_000


@functools.cache
def knowledge() -> Bundle:
    """The shipped knowledge base, and pumps that matter little."""
    paths = [path for folder in FOLDERS for path in (KNOWLEDGE_BASE / folder).glob("*")]
    files = {path.relative_to(KNOWLEDGE_BASE).as_posix(): path.read_text("utf-8") for path in paths}
    low = "".join(f"  pump-low-{n}: {{importance: low}}\n" for n in range(1, 10))
    files["devices/pump.yaml"] = files["devices/pump.yaml"].rstrip("\n") + "\n" + low
    return Bundle.from_files(files)


class Writer:
    """A language model that always says the same: what it is shown depends on when it is asked."""

    def complete(self, system: str, prompt: str, schema: Mapping[str, object]) -> Completion:
        """See `ports.LanguageModel`."""
        answer = {"what": "Something wears out.", "causes": ["wear"], "steps": ["look"], "sources": [1]}
        return Completion(msgspec.json.encode(answer).decode(), "writer-1", 10, 5)


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """Everything that is not as it should be.

    `cuts`: messages a worker takes at once, step by step; `steps`: how many steps it does in a round; `copies`: every
    so-manieth message or request is sent twice, the second time a round or more later.
    """

    faults: tuple[Fault, ...] = ()
    cuts: tuple[int, ...] = (BATCH,)
    steps: tuple[int, ...] = (8,)
    copies: int = 0

    def __str__(self) -> str:
        """For a failing test."""
        faults = [f"  after {f.gap} points: {f.kind} ({f.size})" for f in self.faults]
        return "\n".join(
            [f"batches of {self.cuts}, steps a round {self.steps}, copies of every {self.copies}th", *faults]
        )


CALM = Disturbance()


class World:
    """One run of a scenario. What goes wrong is in `faults`; everything else is as in production."""

    def __init__(
        self,
        make_ports: PortsFactory,
        disturbance: Disturbance = CALM,
        *,
        transactional: bool = False,
        at_reads: bool = True,
        stages: Sequence[Stage] = PIPELINE,
    ) -> None:
        """A first worker begins, and a rival that believes to be alone."""
        self.phone = MemoryReceiver(PHONE)
        self.ports = make_ports({PHONE: self.phone}, Writer())
        self.disturbance, self.stages, self.now = disturbance, stages, START
        self.faults = Faults(disturbance.faults, transactional=transactional, at_reads=at_reads)
        self.wrapped = self.faults.wrap(self.ports)
        self._cuts = self._steps = 0
        refused = Cutoff(month="2026-03", now=Switches(refuse=(Importance.LOW,)))
        self.ports.tables.put(CUTOFFS.name, CURRENT_CUTOFF, msgspec.json.encode(refused))
        self.worker: Worker | None = None
        rival = self._worker(self.ports)
        self.faults.rival = lambda steps: [rival.step() for _ in range(steps)] and None
        self.crashes = 0

    def run(self, scenario: Scenario) -> World:
        """All of it, until everything is drained."""
        waiting = self._copied(scenario.told().events)
        for number in range(ROUNDS + 1):
            waiting = self._round(number, waiting)
            self._work(self._next_steps())
        self._drain()
        for number in range(ROUNDS + 1, ROUNDS + GAP_ROUNDS, TIMER_ROUNDS):
            waiting = self._round(number, waiting)
            self._drain()
        for number in range(ROUNDS + GAP_ROUNDS, ROUNDS + GAP_ROUNDS + 10):
            waiting = self._round(number, waiting)
            self._drain()
        assert not waiting
        if scenario.night:
            self.now += NIGHT_MS
        self._drain()
        self.faults.stop()
        for _ in range(8):  # deliveries that failed are tried again, later and later
            self.now += 60_000
            self._drain()
        return self

    def play(self, events: Sequence[Event]) -> World:
        """Only these events, one after the other, each followed by one step; then until everything is drained."""
        for event in events:
            self.now = max(self.now, event.at)
            self._deliver(event)
            self._work(1)
        self._drain()
        self.faults.stop()
        for _ in range(2):  # until the timers have told what was not told
            self.now += 60_000
            self._drain()
        return self

    def ask_all(self, paths: Sequence[str]) -> list[Any]:
        """What the API answers to GET, each as what its JSON says."""
        backend = Backend(self.ports, Published(self.ports, knowledge()), SHARDS, self.clock, group_commit=False)

        async def answers() -> list[httpx.Response]:
            transport = httpx.ASGITransport(create_app(backend))
            async with httpx.AsyncClient(transport=transport, base_url="http://watchkeeper") as client:
                return [(await client.get(path)).raise_for_status() for path in paths]

        return [msgspec.json.decode(answer.content) for answer in asyncio.run(answers())]

    def _copied(self, events: list[Event]) -> list[Event]:
        every = self.disturbance.copies
        copies = [
            e
            for place, e in enumerate(events)
            if every and place % every == 0 and not isinstance(e, Garbage) and e.again
        ]
        later = [dataclasses.replace(e, at=e.at + ROUND_MS * (1 + place % 3)) for place, e in enumerate(copies)]
        return sorted([*events, *later], key=lambda event: event.at)

    def _round(self, number: int, waiting: list[Event]) -> list[Event]:
        self.now = max(self.now, at_round(number))
        due = [event for event in waiting if event.at < at_round(number + 1)]
        for event in due:
            self._deliver(event)
        return waiting[len(due) :]

    def _deliver(self, event: Event) -> None:
        """The sender tries again until it is told that it has arrived."""
        while True:
            try:
                self._send(event)
            except (Crash, Unavailable, Conflict):
                if isinstance(event, FromHub) and not event.again:
                    return self._deliver_safely(event)  # a broker would keep the copies apart: one message, one offset
            else:
                return None

    def _deliver_safely(self, event: FromHub) -> None:
        stored = self.ports.stream
        topic, partition = (
            DEVICE_TELEMETRY.name,
            shard(event.device) % self.ports.stream.partitions(DEVICE_TELEMETRY.name),
        )
        if not any(
            (m.value, m.headers["received"]) == (event.body, str(event.at))
            for m in stored.read(topic, partition, -1, 9999)
        ):
            stored.append(topic, [_message(event)])

    def _send(self, event: Event) -> None:
        if isinstance(event, FromHub):
            self.wrapped.stream.append(DEVICE_TELEMETRY.name, [_message(event)])
        elif isinstance(event, Garbage):
            self.ports.stream.append(event.topic, [Message(event.shard, event.body)])
        else:
            self._request(event)

    def _request(self, event: Request) -> None:
        message = RawMessage(event.body, event.at, DEFAULT_TENANT, format=event.form, request=event.key)

        def decide(context: Context) -> Outcome:
            return admit([message], event.topic, context)[0]

        published = Published(self.wrapped, knowledge())
        Runner(STAGES["ingest"], None, self.wrapped, published, SHARDS, lambda: event.at).request(decide)

    def clock(self) -> int:
        """Epoch ms."""
        return self.now

    def _worker(self, ports: Ports) -> Worker:
        return Worker(
            ports, Published(ports, knowledge()), shards=SHARDS, clock=self.clock, lanes=self.stages, timers=self.stages
        )

    def _work(self, steps: int) -> bool:
        """Some steps of a worker, who may die and be replaced; answers whether there is nothing left to do."""
        idle = False
        for _ in range(steps):
            try:
                if self.worker is None:
                    self.worker = self._worker(self.wrapped)
                    self.faults.rewound = 0
                self.worker.batch = self._next_cut()
                idle = not self.worker.step()["messages"] and not self.worker.blocked
            except Crash:
                self.worker = None
                self.crashes += 1
                idle = False
            except Unavailable:  # a worker that cannot even begin
                self.worker = None
        return idle

    def _drain(self) -> None:
        """Go on until there is nothing to do; time passes only while a partition rests."""
        for _ in range(5_000):
            if self._work(1):
                return
            if self.worker is not None and self.worker.blocked:
                self.now += 250
        raise AssertionError(f"the pipeline does not come to rest: {self.worker and self.worker.blocked}")

    def _next_cut(self) -> int:
        self._cuts += 1
        return self.disturbance.cuts[self._cuts % len(self.disturbance.cuts)]

    def _next_steps(self) -> int:
        self._steps += 1
        return self.disturbance.steps[self._steps % len(self.disturbance.steps)]


def _message(event: FromHub) -> Message:
    headers = {"device": event.device, "tenant": DEFAULT_TENANT, "received": str(event.at)}
    return Message(shard(event.device), event.body, headers)


def key(alert: str) -> Key:
    """Where a record of our tenant is."""
    return Key(DEFAULT_TENANT, alert)
